"""Keeping what a test draws: an npz file as `mmcm sample` writes it, from the shares of all processes.

It is a file and not a folder of PNGs, as 50 000 small files are a burden for many file systems, and as it is what
`mmcm test --samples` and the evaluators of other programs read.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.apis.sampling import image_archives
from mmcm.apis.sampling.image_archives import ImageSet
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove
from mmcm.utils.npz import open_npz

BLOCK = 4096  # images in memory as the file is put together


class KeptSamples(Hook):
    """Write the images of each test to the file `path` when its metrics are known; nothing where that is None.

    Every process has a folder of its own share beside the file, which it adds to batch by batch, and process 0 puts
    them in the order of the requests. The processes need to see the same file system.

    Attributes:
        path (Path, optional): The file to write, which ends in .npz. It appears whole, and replaces an older one.
        origin (dict): What the images are drawn from, as the file is to say.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.origin: dict = {}

    def before_test(self, runner: Runner) -> None:
        """Begin the share of this process."""
        if self.path is None:
            return
        self.rank, self.world_size = get_dist_info()
        folder = self.path.with_name(f'.{self.path.name}.drawn')
        if self.rank == 0:
            remove(folder)  # what a killed run has left
            make_folder(folder)
        barrier()
        self.shares = [Share(folder / str(rank)) for rank in range(self.world_size)]
        self.folder = folder

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DataSample] | None = None
    ) -> None:
        """Add what a batch has drawn."""
        if self.path is not None and outputs:
            self.shares[self.rank].add(outputs)

    def after_test(self, runner: Runner) -> None:
        """Put the shares together."""
        if self.path is None:
            return
        self.shares[self.rank].close()
        barrier()
        if self.rank == 0:
            image_archives.write(self.path, put_together(self.shares, self.origin))
            remove(self.folder)


class Share:
    """The images of one process: their pixels one after the other in a file, and what they are in another.

    Args:
        path (Path): Where they are, without a suffix.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pixels, self.notes = path.with_suffix('.raw'), path.with_suffix('.npz')
        self.shape: tuple[int, ...] = ()  # (H, W, C)
        self.indices: list[int] = []
        self.labels: list[int] = []

    def add(self, samples: Sequence[DataSample]) -> None:
        """Add drawn samples, which say by `sample_idx` which ones they are."""
        images = [sample.fake_img.permute(1, 2, 0).contiguous().cpu().numpy() for sample in samples]
        self.shape = images[0].shape
        try:
            with self.pixels.open('ab') as file:
                file.writelines(images)
        except OSError as error:
            raise InputError(
                f'{self.pixels} cannot be written: {error.strerror}. Make room, or choose another place '
                'for the samples.'
            ) from error
        self.indices += [sample.sample_idx for sample in samples]
        self.labels += [int(sample.gt_label.label) for sample in samples if 'gt_label' in sample]

    def close(self) -> None:
        """Note what has been added."""
        np.savez(self.notes, shape=self.shape, indices=np.asarray(self.indices, np.int64), labels=self.labels)

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the images (n, H, W, C), as they lie in the file, their indices (n,) and their labels (n,) or (0,)."""
        notes = open_npz(self.notes)
        shape, indices, labels = tuple(notes['shape'].tolist()), notes['indices'], notes['labels']
        if not len(indices):
            return np.empty((0,), np.uint8), indices, labels
        return np.memmap(self.pixels, np.uint8, 'r', shape=(len(indices), *shape)), indices, labels


def put_together(shares: Sequence[Share], origin: dict) -> ImageSet:
    """Return the images of all processes in the order of the requests; those that came twice are there once."""
    read = [share.read() for share in shares]
    read = [(images, indices, labels) for images, indices, labels in read if len(indices)]
    indices = np.concatenate([indices for _, indices, _ in read])
    starts = np.cumsum([0, *(len(indices) for _, indices, _ in read)])
    _, order = np.unique(indices, return_index=True)
    labels = np.concatenate([labels for _, _, labels in read]).astype(np.int64)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(order), BLOCK):
            rows = order[start : start + BLOCK]
            block = np.empty((len(rows), *read[0][0].shape[1:]), np.uint8)
            for (images, *_), first, end in zip(read, starts, starts[1:]):
                mine = (first <= rows) & (rows < end)
                block[mine] = images[rows[mine] - first]
            yield block

    shape = (len(order), *read[0][0].shape[1:])
    return ImageSet(shape, blocks, labels[order].tolist() if len(labels) else None, origin)


def check_keepable(paths: Sequence[Path], shape: tuple[int, int, int, int]) -> None:
    """Raise an InputError unless images (N, H, W, C) could be written to each of `paths`, which share a folder."""
    for path in paths:
        image_archives.check_path(path, shape)
    needed = int(np.prod(shape, dtype=np.int64)) * (len(paths) + 1)  # the shares of one are there beside it
    free = shutil.disk_usage(paths[0].parent).free
    if needed > free:
        raise InputError(
            f'{paths[0].parent} has {in_bytes(free)} of free space, and {in_bytes(needed)} are needed. '
            'Make room, or choose another place.'
        )


def in_bytes(number: int) -> str:
    """Return a number of bytes in the largest unit of which there is at least one."""
    for unit, size in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if number >= size:
            return f'{number / size:.3g} {unit}'
    return f'{number} bytes'
