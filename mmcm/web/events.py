"""What all events of the web demo have in common: whose turn it is, how errors are told, how steps are shown."""
import html
from collections.abc import Generator
from functools import wraps
from inspect import isgeneratorfunction
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Callable, TypeVar

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.shelf import Shelf

DRAW = dict(concurrency_id='draw', concurrency_limit=1)  # of every event that draws: one at a time, of all visitors
PATIENCE = 0.5  # seconds

Result = TypeVar('Result')


class Stopped(gr.Error):
    """The visitor has left, or the server is about to end: nobody waits for the drawing."""

    def __init__(self) -> None:
        super().__init__('The drawing was stopped, since the server ends.', print_exception=False)


def told(function: Callable) -> Callable:
    """Have an InputError of an event's function, or generator, shown to the visitor."""
    if isgeneratorfunction(function):

        @wraps(function)
        def run(*args: Any) -> Generator:
            try:
                yield from function(*args)
            except InputError as error:
                raise shown_error(error) from error
    else:

        @wraps(function)
        def run(*args: Any) -> Any:
            try:
                return function(*args)
            except InputError as error:
                raise shown_error(error) from error

    return run


def shown_error(error: InputError) -> gr.Error:
    """Return an error as the page shows it; what the visitor gave may be in it, and is text there, not markup."""
    return gr.Error(html.escape(' '.join(str(error).split()), quote=False), print_exception=False)


def streamed(shelf: Shelf, work: Callable[[Callable[..., None]], Result],
             render: Callable[..., Any]) -> Generator[Any, None, Result]:
    """Draw in the thread of `shelf`, and show steps meanwhile: `drawing = yield from streamed(...)`.

    Args:
        shelf (Shelf): The models.
        work (Callable): What draws. It is called with a function `show`, and calls that in every step: with what is to
            be shown, or with nothing, since `show` also stops the drawing when the visitor has left.
        render (Callable): From what was shown to the outputs of the event. It is called outside the thread that draws.

    Yields:
        The outputs of each step that is shown, and in between, now and then, that they stay as they are: only there
        Gradio can close a generator whose visitor has left.

    Returns:
        What `work` returns.
    """
    left, steps = Event(), SimpleQueue()

    def show(*step: Any) -> None:
        if left.is_set() or shelf.closing.is_set():
            raise Stopped
        if step:
            steps.put(step)

    def run() -> Result:
        try:
            show()  # others may have drawn for long
            return work(show)
        finally:
            steps.put(None)

    drawing = shelf.worker.submit(run)
    try:
        while True:
            try:
                step = steps.get(timeout=PATIENCE)
            except Empty:
                yield gr.skip()
                continue
            if step is None:
                return drawing.result()
            yield render(*step)
    finally:
        left.set()
