"""Deduplication: each sampling request counts once, however the requests were distributed over processes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_rank, get_world_size

from mmcm.renamed import old_names

__getattr__ = old_names(__name__)


class Entries(NamedTuple):
    """Values of some images.

    Attributes:
        values (ndarray): (N, ...), the value of each image.
        positions (ndarray): (N,), the position of each image among all images, int64.
    """

    values: np.ndarray
    positions: np.ndarray


class Deduplicator:
    """The requests that one process has answered.

    DefaultSampler pads the share of a process with one request of another process, its last, so that all shares are
    equally long. A value that was counted cannot be subtracted again. Each process therefore holds back its last image
    until the next one comes, or until the requests of the other processes are known. It keeps one image, and one number
    for each.
    """

    def __init__(self) -> None:
        self.positions: set[int] = set()
        self.waiting: Entries | None = None

    def add(self, values: np.ndarray, indices: Sequence[int | None]) -> Entries:
        """Add a batch, and return the entries that may be counted now.

        Args:
            values (ndarray): (N, ...), the value of each image.
            indices (Sequence[int | None]): The `sample_idx` of each. Images without one count as they come, and take
                positions in turns: one of each process, then the next of each.
        """
        rows, positions = [], []
        for row, index in enumerate(indices):
            position = len(self.positions) * get_world_size() + get_rank() if index is None else int(index)
            if position not in self.positions:
                self.positions.add(position)
                rows.append(row)
                positions.append(position)
        new = Entries(values[rows], np.array(positions, np.int64))
        if self.waiting is not None:
            new = Entries(*map(np.concatenate, zip(self.waiting, new)))
        self.waiting = Entries(new.values[-1:], new.positions[-1:])
        return Entries(new.values[:-1], new.positions[:-1])

    def counted(self) -> set[int]:
        """Return the positions of the images that were counted already."""
        return self.positions if self.waiting is None else self.positions - set(self.waiting.positions.tolist())
