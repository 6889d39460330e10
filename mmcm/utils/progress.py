"""Progress on stderr: a bar on a terminal, a line every ten seconds in a pipe or a log file."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_INTERVAL = 10.0  # seconds between lines, so that short work writes none


def terminal() -> 'Console | None':
    """Return the console on stderr if a person may be watching it; a log file is no place for bars."""
    from rich.console import Console  # rich is not imported where nothing is to be shown

    console = Console(stderr=True)
    return console if console.is_terminal else None


@contextmanager
def progress_bar(description: str, total: int, shown: bool = True, unit: str = 'steps') -> Iterator[Callable[[], None]]:
    """Show progress on stderr while the block runs; yield a function that advances it by one of `total` units.

    Args:
        description (str): Name of the work, such as 'packing'.
        total (int): Number of units.
        shown (bool): Whether to show anything.
        unit (str): Name of the units, in the plural.
    """
    console = terminal() if shown else None
    if not shown:
        yield lambda: None
        return
    if console is None:
        yield _lines(description, total, unit)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), 'left', TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)


def progress_line(description: str, done: int, total: int, seconds: float, unit: str = 'steps') -> str:
    """Return a line of progress, with the remaining time at the present rate."""
    line = f'{description}: {done} of {total} {unit} in {timedelta(seconds=round(seconds))}'
    if not done:
        return line
    left = timedelta(seconds=round(seconds * (total - done) / done))
    return f'{line}, {done / max(seconds, 1e-9):.4g} {unit}/s, {left} left'


def _lines(description: str, total: int, unit: str) -> Callable[[], None]:
    """Return a function that counts units and writes a line every `LINE_INTERVAL` seconds."""
    started = written = time.monotonic()
    done = 0

    def advance() -> None:
        nonlocal done, written
        done += 1
        now = time.monotonic()
        if now - written >= LINE_INTERVAL:
            written = now
            print(progress_line(description, done, total, now - started, unit), file=sys.stderr, flush=True)

    return advance
