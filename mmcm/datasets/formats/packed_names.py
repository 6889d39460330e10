"""Compact sequence of millions of names in two arrays."""

from collections.abc import Iterable, Iterator

import numpy as np

from mmcm.utils.errors import InputError


class PackedNames:
    """A sequence of byte strings without a Python object for each.

    A list of a million strings takes some 100 MB, and worker processes do not share it: reading a string writes its
    reference count.

    Args:
        names (Iterable[bytes]): The names.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        names = list(names)
        self.ends = np.cumsum(np.fromiter(map(len, names), np.int64, len(names)))
        self.content = np.frombuffer(b''.join(names), np.uint8)

    @classmethod
    def of(cls, content: np.ndarray, ends: np.ndarray) -> 'PackedNames':
        """Return the names that are concatenated in `content`, uint8, and end at `ends`, int64."""
        if (
            content.dtype != np.uint8
            or ends.dtype != np.int64
            or content.ndim != 1
            or ends.ndim != 1
            or ((np.diff(ends, prepend=0) < 0).any() or (ends[-1] if len(ends) else 0) != len(content))
        ):
            raise InputError('a list of names is damaged: delete it, it is made again.')
        packed = cls(())
        packed.content, packed.ends = content, ends
        return packed

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, position: int) -> bytes:
        start = self.ends[position - 1] if position else 0
        return self.content[start : self.ends[position]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[position] for position in range(len(self)))
