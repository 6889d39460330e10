"""Which images count: each request once, however the requests were dealt out to the processes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_rank, get_world_size


class Counted(NamedTuple):
    """What may be counted.

    Attributes:
        values (ndarray): (N, ...), what is known of each image.
        positions (ndarray): (N,), where each image has its place among all images, int64.
    """

    values: np.ndarray
    positions: np.ndarray


class CountedOnce:
    """The requests that one process has answered.

    So that all processes have equally many, DefaultSampler lets some draw a request that another one draws, too: the
    last of theirs, each. What was counted cannot be taken back, so the last image of a process waits for the next one,
    or for the end, when it is known what the others have drawn. It holds one image, and one number for each.
    """

    def __init__(self) -> None:
        self.positions = set()
        self.waiting = None

    def add(self, values: np.ndarray, indices: Sequence[int | None]) -> Counted:
        """Return what may be counted now, after a batch has been drawn.

        Args:
            values (ndarray): (N, ...), what is known of each of its images.
            indices (Sequence[int | None]): The `sample_idx` of each. Images without any count as they come, and have
                their places in turns: one of each process, and on.
        """
        rows, positions = [], []
        for row, index in enumerate(indices):
            position = len(self.positions) * get_world_size() + get_rank() if index is None else int(index)
            if position not in self.positions:
                self.positions.add(position)
                rows.append(row)
                positions.append(position)
        new = Counted(values[rows], np.array(positions, np.int64))
        if self.waiting is not None:
            new = Counted(*map(np.concatenate, zip(self.waiting, new)))
        self.waiting = Counted(new.values[-1:], new.positions[-1:])
        return Counted(new.values[:-1], new.positions[:-1])

    def counted(self) -> set:
        """Return the places of the images that were counted already."""
        return self.positions if self.waiting is None else self.positions - set(self.waiting.positions.tolist())
