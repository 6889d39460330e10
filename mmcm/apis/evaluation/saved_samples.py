"""Saved samples of a test: an npz file like that of `mmcm sample`, from the batches of all processes.

One file and not a folder of PNGs: 50 000 small files are a burden for many file systems, and `mmcm test --samples` and
the evaluators of other programs read npz.
"""

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.apis.sampling import image_archives
from mmcm.apis.sampling.image_archives import ImageSet
from mmcm.renamed import old_names
from mmcm.structures import DataSample
from mmcm.utils.block_store import BlockStore
from mmcm.utils.files import check_room
from mmcm.utils.npz import open_npz
from mmcm.utils.provenance import record_of

__getattr__ = old_names(__name__)
CHUNK = 4096  # images in memory while the file is written


class SaveSamplesHook(Hook):
    """Write the images of each test to the file `path` when its metrics are known; nothing if `path` is None.

    Each batch is a block in a `BlockStore` beside the file; process 0 puts the images in the order of the requests. All
    processes need to see the same file system.

    Attributes:
        path (Path, optional): The npz file. It appears whole, and replaces an older one.
        origin (dict): What the images are generated from, which the file records.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.origin: dict = {}

    def before_test(self, runner: Runner) -> None:
        """Make an empty store."""
        if self.path is None:
            return
        self.rank, self.world_size = get_dist_info()
        self.store = BlockStore(self.path.with_name(f'.{self.path.name}.drawn'), 'batch_{:06d}.npz')
        if self.rank == 0:
            self.store.remove()  # the rest of a killed run
            self.store.open()
        barrier()

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DataSample] | None = None
    ) -> None:
        """Save a batch."""
        if self.path is not None and outputs:
            self.store.write(batch_idx * self.world_size + self.rank, packed(outputs))

    def after_test(self, runner: Runner) -> None:
        """Write the file."""
        if self.path is None:
            return
        barrier()
        if self.rank == 0:
            image_archives.write(self.path, put_together(self.store.finished(), self.origin))
            self.store.remove()


def packed(samples: Sequence[DataSample]) -> bytes:
    """Return the content of an npz file of a batch: `images` (B, H, W, C), their `indices`, `labels` (B,) or (0,)."""
    images = [sample.fake_img.permute(1, 2, 0).cpu().numpy() for sample in samples]
    indices = [sample.sample_idx for sample in samples]
    labels = [int(sample.gt_label.label) for sample in samples if 'gt_label' in sample]
    content = io.BytesIO()
    np.savez(
        content, images=np.stack(images), indices=np.asarray(indices, np.int64), labels=np.asarray(labels, np.int64)
    )
    return content.getvalue()


def put_together(batches: Sequence[Path], origin: dict) -> ImageSet:
    """Return the images of the files `batches`, at least one, in the order of their indices, each index once."""
    shape = open_npz(batches[0])['images'].shape[1:]
    # One file at a time, and copies: a process may keep only so many files open, and there may be more batches.
    read = [(np.array(file['indices']), np.array(file['labels'])) for file in map(open_npz, batches)]
    indices = [rows for rows, _ in read]
    labels = np.concatenate([each for _, each in read])
    ends = np.cumsum([len(rows) for rows in indices])
    _, order = np.unique(np.concatenate(indices), return_index=True)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(order), CHUNK):
            rows = order[start : start + CHUNK]
            block = np.empty((len(rows), *shape), np.uint8)
            owners = np.searchsorted(ends, rows, side='right')
            for owner in np.unique(owners):
                mine = owners == owner
                block[mine] = open_npz(batches[owner])['images'][rows[mine] - ends[owner]]  # counted from its end
            yield block

    return ImageSet(
        (len(order), *shape), blocks, labels[order].tolist() if len(labels) else None, origin, record=record_of('test')
    )


def check_saving(paths: Sequence[Path], shape: tuple[int, int, int, int]) -> None:
    """Raise an InputError unless images (N, H, W, C) could be written to each of `paths`, which share a folder."""
    for path in paths:
        image_archives.check_path(path, shape)
    check_room(paths[0].parent, math.prod(shape) * (len(paths) + 1))  # the batches of one lie beside it
