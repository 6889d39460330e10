"""What all events of the web demo have in common: whose turn it is, how errors are told, how steps are shown."""

import html
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, TypeVar

import gradio as gr

from mmcm.utils.errors import InputError
from mmcm.web.model_pool import Shelf
from mmcm.web.texts import cut

DRAW = dict(concurrency_id='draw', concurrency_limit=1)  # of every event that draws: one at a time, of all visitors
PATIENCE = 0.5  # seconds
MISTAKE = 'The server has made a mistake at this request: its log says more.'

Result = TypeVar('Result')


class Stopped(gr.Error):
    """The visitor has left, or the server is about to end: nobody waits for the drawing."""

    def __init__(self) -> None:
        super().__init__('The drawing was stopped, since the server ends.', print_exception=False)


def told(function: Callable) -> Callable:
    """Have the errors of an event's function, or generator, shown to the visitor, those that are mistakes of ours in
    general words: the log has the rest.
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


def asked(shelf: Shelf, function: Callable[..., Generator]) -> Callable[..., Generator]:
    """Have the generator of an event go before what is drawn for nobody in particular, and its errors shown."""

    @wraps(function)
    def run(*args: Any) -> Generator:
        shelf.asked.set()
        yield from told(function)(*args)

    return run


@contextmanager
def errors_shown() -> Iterator[None]:
    """Raise the errors of the block as the page shows them."""
    try:
        yield
    except gr.Error:
        raise
    except InputError as error:
        raise shown_error(str(error)) from error
    except CancelledError as error:  # the server ends, and what waited for the thread is not drawn
        raise Stopped from error
    except Exception as error:
        raise gr.Error(MISTAKE) from error  # which Gradio prints, with its cause


def shown_error(message: str) -> gr.Error:
    """Return an error as the page shows it; what the visitor gave may be in it, and is text there, not markup."""
    return gr.Error(html.escape(cut(' '.join(message.split())), quote=False), print_exception=False)


def streamed(
    shelf: Shelf, work: Callable[[Callable[..., None]], Result], render: Callable[..., Any]
) -> Generator[Any, None, Result]:
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

    drawing = submitted(shelf, run)
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


def submitted(shelf: Shelf, work: Callable[..., Result], *args: Any) -> Future[Result]:
    """Have the thread of `shelf` do work; Stopped if the server is about to end."""
    try:
        return shelf.worker.submit(work, *args)
    except RuntimeError as error:  # which a pool that was shut down raises
        raise Stopped from error
