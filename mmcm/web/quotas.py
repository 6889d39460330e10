"""How much visitors may upload, each of them and all together."""
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Union

from mmcm.web.answers import Refused
from mmcm.web.limits import Limits

FULL = 'The server holds as many pictures as it has room for. They go within about an hour; try again later.'
YOURS = 'You have uploaded as much as a visitor may. It is forgotten within about an hour; try again later.'


class Quotas:
    """Uploads of the last hour.

    Args:
        limits (Limits): How much each visitor may upload, and how much there may be of all, results included.
        folder (str | Path): Where Gradio keeps uploads and results.
        clock (Callable): Returns the time in seconds.
    """

    def __init__(self, limits: Limits, folder: Union[str, Path], clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.folder = Path(folder)
        self.clock = clock
        self.arriving = 0  # bytes of the uploads that are under way
        self.taken: deque[tuple[float, str, int]] = deque()  # when, by whom, bytes

    def check_room(self) -> None:
        """Raise Refused if uploads and results take all the room there is."""
        if size_of(self.folder) + self.arriving > self.limits.kept_bytes:
            raise Refused(503, FULL)

    @contextmanager
    def upload(self, visitor: str, size: int) -> Iterator[None]:
        """Count `size` bytes of a visitor's upload, which arrive while the block runs; Refused if they are too many."""
        now = self.clock()
        while self.taken and self.taken[0][0] < now - self.limits.kept_seconds:
            self.taken.popleft()
        if sum(bytes_ for _, who, bytes_ in self.taken if who == visitor) + size > self.limits.visitor_bytes:
            raise Refused(429, YOURS)
        self.taken.append((now, visitor, size))
        self.arriving += size
        try:
            yield
        finally:
            self.arriving -= size

    def tidy(self) -> None:
        """Remove what Gradio forgets: files older than it keeps them, and uploads that broke off."""
        now = self.clock()
        for place, folders, names in os.walk(self.folder, topdown=False):
            for name in names:
                path = Path(place, name)
                with suppress(OSError):  # Gradio removes files, too
                    age = now - path.stat().st_mtime
                    broken = path.parent == self.folder and age > self.limits.broken_seconds and name.startswith('tmp')
                    if broken or age > self.limits.kept_seconds:
                        path.unlink()
            for name in folders:
                with suppress(OSError):  # it is not empty
                    Path(place, name).rmdir()


def size_of(folder: Path) -> int:
    """Return how many bytes the files below `folder` have; they may go meanwhile."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.path.getsize(os.path.join(place, name))
    return size
