"""What the tabs show before their visitor has asked for anything: drawn once, when the server has started."""
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any, Callable, NamedTuple

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.shelf import Shelf

SECONDS = 20  # for all tabs together; slow models leave those that come last without a picture
PATIENCE = 10  # seconds that a page waits for what is just being drawn


class Tab(NamedTuple):
    """A tab that opens with something.

    Attributes:
        draw (Callable): Returns the generator that an event has for its answer; its last values are shown.
        outputs (Sequence): The controls for these values.
        values (list): The values, when there are some.
        done (Event): Set when there are, or will be none.
    """

    draw: Callable[[], Generator]
    outputs: Sequence[Any]
    values: list[Any]
    done: Event


class Opening:
    """Draws with the models of a shelf, and stops when a while has passed, or the server ends.

    Args:
        shelf (Shelf): The models.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.tabs: list[Tab] = []

    def add(self, draw: Callable[[], Generator], outputs: Sequence[Any]) -> None:
        """Have a tab open with what an event would answer."""
        self.tabs.append(Tab(draw, outputs, [], Event()))

    def show_on(self, page: gr.Blocks) -> None:
        """Show what was drawn to everyone who opens the page."""
        for tab in self.tabs:
            page.load(self.values_of(tab), None, list(tab.outputs), queue=False, api_visibility='private',
                      show_progress='hidden')

    def values_of(self, tab: Tab) -> Callable[[], Any]:
        """Return the function of the event that shows a tab."""
        def show() -> Any:
            tab.done.wait(PATIENCE)
            return list(tab.values) if tab.values else [gr.skip()] * len(tab.outputs)

        return show

    def start(self) -> None:
        """Draw, in a thread of its own, which does not keep the process."""
        Thread(target=self.draw, daemon=True).start()

    def draw(self) -> None:
        """Draw all tabs, one after the other."""
        end = time.monotonic() + SECONDS
        try:
            for tab in self.tabs:
                with suppress(InputError, gr.Error):  # whoever asks for the same is told
                    tab.values.extend(self.last_of(tab.draw(), end))
                tab.done.set()
        finally:
            for tab in self.tabs:
                tab.done.set()

    def last_of(self, steps: Generator, end: float) -> list[Any]:
        """Return the last values of a generator; none if the time has come to the `end`, or the server's end has."""
        last = []
        for values in steps:
            last = values
            if self.shelf.closing.is_set() or time.monotonic() > end:
                steps.close()
                return []
        return list(last)
