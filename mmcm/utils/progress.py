"""Progress bars."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable


@contextmanager
def progress_bar(description: str, total: int, shown: bool = True) -> Iterator[Callable[[], None]]:
    """Show a bar on stderr while the block runs; yields a function that moves it on by one of `total` steps."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console  # not needed, and not imported, where nothing is shown
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
    columns = description, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), 'left', TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)
