import pytest

gr = pytest.importorskip('gradio')

from mmcm.utils.errors import InputError  # noqa: E402
from mmcm.web.model_pool import ModelPool  # noqa: E402
from mmcm.web.opening import Opening  # noqa: E402


@pytest.fixture
def opening():
    return Opening(ModelPool(['digits'], 'cpu'))


def shown(opening):
    """Return what each tab shows."""
    return [opening.values_of(tab)() for tab in opening.tabs]


def test_tab_shows_the_last_values_of_its_event(opening):
    opening.add(lambda: iter([['step', 1], ('picture', 2)]), ['image', 'words'])
    opening.draw()
    assert shown(opening) == [['picture', 2]]


def test_tab_that_cannot_be_drawn_stays_as_it_is_and_the_next_is_drawn(opening):
    def fails():
        yield ['step']
        raise InputError('no weights')

    opening.add(fails, ['image'])
    opening.add(lambda: iter([['picture']]), ['image'])
    opening.draw()
    assert shown(opening) == [[gr.skip()], ['picture']]


def test_mistake_keeps_no_page_waiting(opening):
    def fails():
        yield ['step']
        raise ZeroDivisionError

    opening.add(fails, ['image'])
    opening.add(lambda: iter([['picture']]), ['image'])
    with pytest.raises(ZeroDivisionError):
        opening.draw()
    assert all(tab.done.is_set() for tab in opening.tabs)


def test_visitor_goes_before_and_the_tab_is_drawn_after(opening, monkeypatch):
    monkeypatch.setattr('mmcm.web.opening.PAUSE', 0.01)
    drawn = []

    def draw():
        drawn.append(True)
        yield ['step']
        if len(drawn) == 1:
            opening.pool.requested.set()
        yield ['picture']
        yield [f'picture {len(drawn)}']

    opening.add(draw, ['image'])
    opening.draw()
    assert shown(opening) == [['picture 2']]


def test_drawing_ends_with_the_server(opening):
    closed = []

    def endless():
        try:
            while True:
                opening.pool.close()
                yield ['step']
        finally:
            closed.append(True)

    opening.add(endless, ['image'])
    opening.draw()
    assert closed == [True] and shown(opening) == [[gr.skip()]]
