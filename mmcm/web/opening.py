"""First contents of the tabs, sampled once when the server has started."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.model_pool import ModelPool

PATIENCE = 10  # seconds that a page waits for contents in progress
PAUSE = 1  # seconds until contents that a visitor's request interrupted are tried again


class Tab(NamedTuple):
    """A tab with first contents.

    Attributes:
        draw (Callable): Returns a generator as of an event; its last values are the contents.
        outputs (Sequence): The widgets for these values.
        values (list): The values, empty until they are ready.
        done (Event): Set when the values are ready, or will never be.
    """

    draw: Callable[[], Generator]
    outputs: Sequence[Any]
    values: list[Any]
    done: Event


class Opening:
    """Samples the first contents by the models of a pool, while no visitor waits for a result."""

    def __init__(self, pool: ModelPool) -> None:
        self.pool = pool
        self.tabs: list[Tab] = []

    def add(self, draw: Callable[[], Generator], outputs: Sequence[Any]) -> None:
        """Register the first contents of a tab, the answer of an event."""
        self.tabs.append(Tab(draw, outputs, [], Event()))

    def show_on(self, page: gr.Blocks) -> None:
        """Show the first contents to everyone who opens the page."""
        for tab in self.tabs:
            hidden: Any = dict(queue=False, api_visibility='private', show_progress='hidden')
            page.load(self.values_of(tab), None, list(tab.outputs), **hidden)

    def values_of(self, tab: Tab) -> Callable[[], Any]:
        """Return the function that shows the contents of a tab."""

        def show() -> Any:
            tab.done.wait(PATIENCE)
            return list(tab.values) if tab.values else [gr.skip()] * len(tab.outputs)

        return show

    def start(self) -> None:
        """Sample in a daemon thread."""
        Thread(target=self.draw, daemon=True).start()

    def draw(self) -> None:
        """Sample for all tabs, one after the other."""
        try:
            for tab in self.tabs:
                with suppress(InputError, gr.Error):  # a visitor with the same request sees the error
                    while not tab.values and not self.pool.closing.is_set():
                        self.pool.requested.clear()
                        tab.values.extend(self.last_of(tab.draw()))
                        self.pool.closing.wait(0 if tab.values else PAUSE)
                tab.done.set()
        finally:
            for tab in self.tabs:
                tab.done.set()

    def last_of(self, steps: Generator) -> list[Any]:
        """Return the last values of a generator; none if a visitor sends a request, or the server ends."""
        last = []
        for values in steps:
            last = values
            if self.pool.closing.is_set() or self.pool.requested.is_set():
                steps.close()
                return []
        return list(last)
