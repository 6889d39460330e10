"""Blocks of images that the processes of a run sample, and waiting for those of the others."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from mmcm.utils.block_store import REQUEST_FILE, BlockStore, Journal

MAX_BLOCKS = 2000  # of a run; each is a file, and what a killed process may lose
BLOCKS_OF_PATIENCE = 3  # of process 0: it waits for the others at least for the time of this many
LOOK_INTERVAL = 0.5  # seconds between looks at the blocks of the other processes


class ImageBlocks(BlockStore):
    """The finished blocks of a run, each a file of raw pixels.

    Args:
        folder (Path): Where they are.
        shape (tuple[int, int, int, int]): Of all images, (N, H, W, C).
        batch_size (int): Images per batch. A block has as many batches as it takes to have no more than `MAX_BLOCKS`,
            and the last one what is left.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int, int], batch_size: int) -> None:
        super().__init__(folder, size_of=lambda index: self.num_images((index,)) * math.prod(shape[1:]))
        self.shape = shape
        self.block_size = batch_size * math.ceil(shape[0] / (batch_size * MAX_BLOCKS))
        self.indices = range(math.ceil(shape[0] / self.block_size))
        self.journal = Journal(
            folder / REQUEST_FILE,
            'an unfinished run',
            f'give the arguments of that one to finish it, delete {folder}, or write to another place',
        )

    def slice(self, index: int) -> slice:
        """Return the place of a block among the images."""
        return slice(index * self.block_size, min((index + 1) * self.block_size, self.shape[0]))

    def num_images(self, indices: Iterable[int]) -> int:
        """Return the number of images in the blocks `indices`."""
        blocks = map(self.slice, indices)
        return sum(block.stop - block.start for block in blocks)

    def read(self) -> Iterator[np.ndarray]:
        """Yield the blocks in order, each uint8 (B, H, W, C)."""
        for index in self.indices:
            yield np.fromfile(self.path(index), np.uint8).reshape(-1, *self.shape[1:])


class Report:
    """Progress of all processes together.

    Args:
        blocks (ImageBlocks): The blocks of all processes.
        missing (list[int]): The blocks that were missing at the beginning.
        advance (Callable, optional): Advances a progress bar by one image.
    """

    def __init__(self, blocks: ImageBlocks, missing: list[int], advance: Callable[[], None] | None) -> None:
        self.blocks = blocks
        self.missing = missing
        self.advance = advance
        self.looked = time.monotonic()

    def __call__(self) -> None:
        """Report finished blocks, at most every `LOOK_INTERVAL` seconds."""
        if self.advance is not None and time.monotonic() - self.looked >= LOOK_INTERVAL:
            self.look()

    def look(self) -> list[int]:
        """Report finished blocks, and return the missing ones."""
        before, self.missing = self.missing, self.blocks.missing(self.missing)
        if self.advance is not None:
            for _ in range(self.blocks.num_images(before) - self.blocks.num_images(self.missing)):
                self.advance()
        self.looked = time.monotonic()
        return self.missing


def wait_for_others(sample_block: Callable[[int], float], report: Report, patience: float) -> None:
    """Wait until all blocks are finished; after `patience` seconds without news, sample the missing ones."""
    awaited, news, warned = report.look(), time.monotonic(), False
    while awaited:
        if time.monotonic() - news > patience:
            if not warned:
                print(
                    f'No news of the other processes for {patience:.4g} s: process 0 samples the {len(awaited)} blocks '
                    'that are missing',
                    file=sys.stderr,
                )
            warned = True
            patience = max(patience, BLOCKS_OF_PATIENCE * sample_block(awaited[-1]))  # the others begin at the front
            awaited = awaited[:-1]
        else:
            time.sleep(LOOK_INTERVAL)
        missing = report.look()
        if len(missing) < len(awaited):
            awaited, news = missing, time.monotonic()
