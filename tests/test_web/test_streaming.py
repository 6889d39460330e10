import threading
import time

import pytest

gr = pytest.importorskip('gradio')

from mmcm.utils.errors import InputError  # noqa: E402
from mmcm.web.model_pool import ModelPool  # noqa: E402
from mmcm.web.streaming import Stopped, shown_error, shows_errors, streamed, submitted  # noqa: E402


@pytest.fixture
def pool():
    pool = ModelPool(['digits'], 'cpu')
    yield pool
    pool.closing.set()
    pool.worker.shutdown()


def everything(generator):
    """Return what a generator yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(generator))
        except StopIteration as end:
            return seen, end.value


def test_steps_are_shown_in_order_and_the_result_is_returned(pool):
    def work(show):
        for step in range(3):
            show(step)
            show()  # only asks whether anyone is there
        return threading.current_thread()

    seen, thread = everything(streamed(pool, work, lambda step: step * 10))
    assert seen == [0, 10, 20]
    assert everything(streamed(pool, work, lambda step: None))[1] is thread is not threading.current_thread()


def test_drawing_stops_when_the_visitor_has_left(pool):
    stopped = threading.Event()

    def work(show):
        try:
            while True:
                show('step')
                time.sleep(0.001)
        except Stopped:
            stopped.set()
            raise

    steps = streamed(pool, work, lambda step: step)
    assert next(steps) == 'step'
    steps.close()
    assert stopped.wait(600)


def test_long_drawing_lets_gradio_look_after_its_visitor(pool):
    left = threading.Event()
    steps = streamed(pool, lambda show: left.wait(600), None)
    assert next(steps) == gr.skip()  # nothing was shown, and yet the generator can be closed
    left.set()
    assert everything(steps)[1] is True


def test_nothing_is_drawn_when_the_server_ends(pool):
    pool.closing.set()
    with pytest.raises(Stopped):
        next(streamed(pool, lambda show: pytest.fail('drawn'), None))


def test_input_errors_are_shown_as_text_of_one_line(pool):
    @shows_errors
    def function():
        raise InputError('no\n <b>')

    @shows_errors
    def generator():
        yield 1
        raise InputError('no\n <b>')

    def work(show):
        raise InputError('no\n <b>')

    @shows_errors
    def drawing():
        yield from streamed(pool, work, None)

    for run in (function, lambda: list(generator()), lambda: list(drawing())):
        with pytest.raises(gr.Error) as error:
            run()
        assert error.value.message == 'no &lt;b&gt;'


def test_mistakes_are_told_in_general_words_and_printed_with_their_cause():
    @shows_errors
    def function():
        raise ZeroDivisionError('secret')

    with pytest.raises(gr.Error, match='server has made a mistake') as error:
        function()
    assert isinstance(error.value.__cause__, ZeroDivisionError) and error.value.print_exception
    assert 'secret' not in error.value.message


def test_long_errors_are_cut():
    assert shown_error('a' * 5000).message == 'a' * 1000 + '...'


def test_what_waits_for_the_thread_is_not_drawn_when_the_server_ends(pool):
    begun, end = threading.Event(), threading.Event()
    pool.worker.submit(lambda: begun.set() or end.wait(600))
    assert begun.wait(600)
    waiting = submitted(pool, lambda: pytest.fail('drawn'))
    pool.close()
    end.set()

    @shows_errors
    def function():
        waiting.result()

    with pytest.raises(Stopped):
        function()
    with pytest.raises(Stopped):
        submitted(pool, lambda: None)
