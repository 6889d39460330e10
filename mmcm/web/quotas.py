"""How much visitors may upload, each of them and all together."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

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

    def __init__(self, limits: Limits, folder: str | Path, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.folder = Path(folder)
        self.clock = clock
        self.arriving: Counter[str] = Counter()  # bytes of the uploads of visitors that are under way
        self.kept: dict[str, dict[str, tuple[float, int]]] = {}  # visitor: path: when it came, bytes

    def check_room(self) -> None:
        """Raise Refused if uploads and results take all the room there is."""
        if size_of(self.folder) + sum(self.arriving.values()) > self.limits.kept_bytes:
            raise Refused(503, FULL)

    @contextmanager
    def upload(self, visitor: str, size: int) -> Iterator[None]:
        """Count `size` bytes of a visitor's upload, which arrive while the block runs; Refused if they are too many."""
        self.arriving[visitor] += size
        try:
            if self.bytes_of(visitor) + self.arriving[visitor] > self.limits.visitor_bytes:
                raise Refused(429, YOURS)
            yield
        finally:
            self.arriving[visitor] -= size
            if not self.arriving[visitor]:
                del self.arriving[visitor]

    def bytes_of(self, visitor: str) -> int:
        """Return how many bytes of a visitor's uploads are kept."""
        oldest = self.clock() - self.limits.kept_seconds
        files = {path: each for path, each in self.kept.get(visitor, {}).items() if each[0] > oldest}
        self.kept[visitor] = files
        return sum(size for _, size in files.values())

    def keep(self, visitor: str, paths: Sequence[str]) -> None:
        """Count the files that an upload has left. A repeated file counts once: the page sends its canvas often."""
        files = self.kept.setdefault(visitor, {})
        for path in paths:
            with suppress(OSError):
                files[path] = (self.clock(), os.path.getsize(path))

    def forget(self) -> None:
        """Forget visitors of whose uploads none is kept."""
        self.kept = {visitor: self.kept[visitor] for visitor in list(self.kept) if self.bytes_of(visitor)}

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
