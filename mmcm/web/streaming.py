"""Events of the web demo: their order, their errors, and the streaming of their steps."""

import html
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, TypeVar

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.model_pool import ModelPool
from mmcm.web.texts import cut

SAMPLING = dict(concurrency_id='sampling', concurrency_limit=1)  # of events that sample: one at a time for all visitors
PATIENCE = 0.5  # seconds
MISTAKE = 'The server has made a mistake at this request: its log says more.'

Result = TypeVar('Result')


class Stopped(gr.Error):
    """The visitor has left, or the server is about to end: nobody waits for the result."""

    def __init__(self) -> None:
        super().__init__('Sampling was stopped, since the server ends.', print_exception=False)


def shows_errors(function: Callable) -> Callable:
    """Show the errors of an event's function or generator to the visitor.

    Bugs are shown in general words; the log has the details.
    """
    if isgeneratorfunction(function):

        @wraps(function)
        def run(*args: Any) -> Generator:
            with errors_shown():
                yield from function(*args)
    else:

        @wraps(function)
        def run(*args: Any) -> Any:
            with errors_shown():
                return function(*args)

    return run


def prioritized(pool: ModelPool, function: Callable[..., Generator]) -> Callable[..., Generator]:
    """Give the generator of an event precedence over the first contents of the page, and show its errors."""

    @wraps(function)
    def run(*args: Any) -> Generator:
        pool.requested.set()
        yield from shows_errors(function)(*args)

    return run


def sample_on_click(
    run: gr.Button,
    stop: gr.Button,
    function: Callable[..., Generator],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    pool: ModelPool,
    api_name: str,
) -> Any:
    """Let the button `run` start the event that samples by `function`, and `stop` end it; return the event."""
    event = run.click(
        prioritized(pool, function), inputs, outputs, api_name=api_name, show_progress='minimal', **SAMPLING
    )
    stop.click(None, cancels=event)
    return event


@contextmanager
def errors_shown() -> Iterator[None]:
    """Raise the errors of the block as the page shows them."""
    try:
        yield
    except gr.Error:
        raise
    except InputError as error:
        raise shown_error(str(error)) from error
    except CancelledError as error:  # the server ends, and waiting work is cancelled
        raise Stopped from error
    except Exception as error:
        raise gr.Error(MISTAKE) from error  # which Gradio prints, with its cause


def shown_error(message: str) -> gr.Error:
    """Return an error for the page, in which input of the visitor is escaped."""
    return gr.Error(html.escape(cut(' '.join(message.split())), quote=False), print_exception=False)


def streamed(
    pool: ModelPool, work: Callable[[Callable[..., None]], Result], render: Callable[..., Any]
) -> Generator[Any, None, Result]:
    """Sample in the thread of `pool` and show steps meanwhile, by `result = yield from ...` of this generator.

    Args:
        pool (ModelPool): The models.
        work (Callable): The function that samples. It gets a function `show` and calls it in every step, with the
            values to show or without any: `show` also stops sampling when the visitor has left.
        render (Callable): Converts the values of `show` to the outputs of the event, outside the sampling thread.

    Yields:
        The outputs of each shown step, and in between, regularly, unchanged outputs: only at a yield can Gradio close a
        generator whose visitor has left.

    Returns:
        The result of `work`.
    """
    left = Event()
    steps: SimpleQueue[tuple | None] = SimpleQueue()

    def show(*step: Any) -> None:
        if left.is_set() or pool.closing.is_set():
            raise Stopped
        if step:
            steps.put(step)

    def run() -> Result:
        try:
            show()  # the visitor may have left while others were served
            return work(show)
        finally:
            steps.put(None)

    sampling = submitted(pool, run)
    try:
        while True:
            try:
                step = steps.get(timeout=PATIENCE)
            except Empty:
                yield gr.skip()
                continue
            if step is None:
                return sampling.result()
            yield render(*step)
    finally:
        left.set()


def submitted(pool: ModelPool, work: Callable[..., Result], *args: Any) -> Future[Result]:
    """Submit work to the thread of `pool`; raise Stopped if the server is about to end."""
    try:
        return pool.worker.submit(work, *args)
    except RuntimeError as error:  # of a pool after its shutdown
        raise Stopped from error
