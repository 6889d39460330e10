"""Filter of MMEngine's log on the console; the log file has all of it."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from mmengine.logging import MMLogger

from mmcm.utils import interrupts

FOLDER = f'{os.sep}mmengine{os.sep}'
ABOUT_MMENGINE = (
    'will be deprecated',
    'SyncBatchNorm',
    'has no metainfo',
    'Advance dataloader',
    'latest checkpoint None',
    'Did not find last_checkpoint',
)


@contextmanager
def brief_console() -> Iterator[None]:
    """Hide long lists and internal notes of MMEngine and torch on the console, for runners that are built in the block.

    The lists are of the environment, the config and the hooks: 200 lines before the first iteration.
    """
    initialise = MMLogger.__init__

    def with_filter(self: MMLogger, *args, **kwargs) -> None:
        initialise(self, *args, **kwargs)
        for handler in self.handlers:
            if isinstance(handler, logging.FileHandler):
                write_utf8(handler)
            else:
                handler.addFilter(is_for_console)
                handler.handleError = partial(end_with_reader, handler.handleError)

    MMLogger.__init__ = with_filter  # the logger is built by the runner, which logs the lists at once
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings('ignore', category=category, module='mmengine')
            warnings.filterwarnings('ignore', 'Setting (OMP|MKL)_NUM_THREADS')
            yield
    finally:
        MMLogger.__init__ = initialise


def write_utf8(handler: logging.FileHandler) -> None:
    """Encode a log file as UTF-8, also where the encoding of the locale lacks characters of names."""
    handler.encoding, handler.errors = 'utf-8', 'backslashreplace'
    if handler.stream is not None:
        handler.stream.reconfigure(encoding=handler.encoding, errors=handler.errors)


def end_with_reader(otherwise: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    """End the run if the console is closed; `logging` would print a traceback for each line."""
    if isinstance(sys.exc_info()[1], BrokenPipeError):
        interrupts.reader_gone()
    else:
        otherwise(record)


def is_for_console(record: logging.LogRecord) -> bool:
    """Return whether to show `record`: it is neither a list nor an internal note of MMEngine."""
    if record.levelno >= logging.ERROR or FOLDER not in record.pathname:  # hooks of users may say anything
        return True
    text = record.getMessage()
    return not any(part in text for part in ABOUT_MMENGINE) and (record.levelno > logging.INFO or '\n' not in text)
