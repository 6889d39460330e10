"""Progress bars."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from rich.console import Console


def terminal() -> 'Optional[Console]':
    """Return the console on stderr if a person may be watching it; a log file is no place for bars."""
    from rich.console import Console  # rich is not imported where nothing is to be shown
    console = Console(stderr=True)
    return console if console.is_terminal else None


@contextmanager
def progress_bar(description: str, total: int, shown: bool = True) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr while the block runs; yields a function that moves it on by one of `total` steps."""
    console = terminal() if shown else None
    if console is None:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
    columns = description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), 'left', TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)
