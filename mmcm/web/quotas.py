"""Quotas of uploads, per visitor and in total."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mmcm.web.answers import Refused
from mmcm.web.limits import Limits

FULL = 'The server has no room for more images. Old ones are removed within about an hour; try again later.'
YOURS = 'You have uploaded as much as a visitor may. Uploads expire within about an hour; try again later.'


class Quotas:
    """Uploads of the last hour.

    Args:
        limits (Limits): Limits per visitor, and in total with results.
        folder (str | Path): Gradio's folder of uploads and results.
        clock (Callable): Returns the time in seconds.
    """

    def __init__(self, limits: Limits, folder: str | Path, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.folder = Path(folder)
        self.clock = clock
        self.arriving: Counter[str] = Counter()  # bytes of unfinished uploads, by visitor
        self.kept: dict[str, dict[str, tuple[float, int]]] = {}  # visitor: path: time of arrival, bytes

    def check_room(self) -> None:
        """Raise Refused if uploads and results fill all the space."""
        if size_of(self.folder) + sum(self.arriving.values()) > self.limits.kept_bytes:
            raise Refused(503, FULL)

    @contextmanager
    def upload(self, visitor: str, size: int) -> Iterator[None]:
        """Count `size` bytes of a visitor's upload during the block; raise Refused if they are too many."""
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
        """Return the number of bytes of a visitor's uploads on the disk."""
        oldest = self.clock() - self.limits.kept_seconds
        files = {path: each for path, each in self.kept.get(visitor, {}).items() if each[0] > oldest}
        self.kept[visitor] = files
        return sum(size for _, size in files.values())

    def keep(self, visitor: str, paths: Sequence[str]) -> None:
        """Count the files of an upload. A repeated file counts once: the page sends its canvas often."""
        files = self.kept.setdefault(visitor, {})
        for path in paths:
            with suppress(OSError):
                files[path] = (self.clock(), Path(path).stat().st_size)

    def forget(self) -> None:
        """Forget visitors without uploads on the disk."""
        self.kept = {visitor: self.kept[visitor] for visitor in list(self.kept) if self.bytes_of(visitor)}

    def tidy(self) -> None:
        """Remove files that Gradio leaves behind: expired ones and incomplete uploads."""
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
    """Return the total size of the files below `folder`, some of which may vanish meanwhile."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += Path(place, name).stat().st_size
    return size
