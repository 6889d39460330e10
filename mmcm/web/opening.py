"""What the tabs show before their visitor has asked for anything: drawn once, when the server has started."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.model_pool import Shelf

PATIENCE = 10  # seconds that a page waits for what is just being drawn
PAUSE = 1  # seconds until what a visitor's request ended is tried again


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
    """Draws with the models of a shelf, while no visitor asks for a drawing.

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
            page.load(
                self.values_of(tab),
                None,
                list(tab.outputs),
                queue=False,
                api_visibility='private',
                show_progress='hidden',
            )

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
        try:
            for tab in self.tabs:
                with suppress(InputError, gr.Error):  # whoever asks for the same is told
                    while not tab.values and not self.shelf.closing.is_set():
                        self.shelf.asked.clear()
                        tab.values.extend(self.last_of(tab.draw()))
                        self.shelf.closing.wait(0 if tab.values else PAUSE)
                tab.done.set()
        finally:
            for tab in self.tabs:
                tab.done.set()

    def last_of(self, steps: Generator) -> list[Any]:
        """Return the last values of a generator; none if a visitor asks for a drawing, or the server ends."""
        last = []
        for values in steps:
            last = values
            if self.shelf.closing.is_set() or self.shelf.asked.is_set():
                steps.close()
                return []
        return list(last)
