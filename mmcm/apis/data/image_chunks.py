"""Chunks of the images of a data set, read by worker processes."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mmcm.datasets.image_arrays import ImageArrays
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.utils.errors import InputError

CHUNK_BYTES = 2**22  # size of a chunk, about
CHUNK_IMAGES = 256  # in a chunk, at most


@dataclass
class Chunk:
    """Images, uint8 (B, H, W, C), with index and reason of corrupt ones, or a message about an image that misfits."""

    rows: torch.Tensor
    corrupt: list[tuple[int, str]]
    misfit: str | None = None
    num_transparent: int = 0


class Chunks(Dataset):
    """The images of a data set in chunks.

    Args:
        dataset (ImageDataset): The data set.
        shape (tuple[int, int, int]): Required (H, W, C) of all images.
        first (int): Index of an image of this shape.
    """

    def __init__(self, dataset: ImageDataset, shape: tuple[int, int, int], first: int) -> None:
        self.dataset = dataset
        self.shape = shape
        self.first = first
        self.size = min(CHUNK_IMAGES, max(1, CHUNK_BYTES // math.prod(shape)))

    def __len__(self) -> int:
        return math.ceil(self.dataset.num_images / self.size)

    def __getitem__(self, index: int) -> Chunk:
        indices = range(index * self.size, min((index + 1) * self.size, self.dataset.num_images))
        if isinstance(self.dataset, ImageArrays) and self.dataset.pipeline is None:
            return Chunk(self.dataset.gathered(np.asarray(indices)).permute(0, 2, 3, 1).contiguous(), [])
        nothing = torch.empty(0, *self.shape, dtype=torch.uint8, device='cpu')
        rows, corrupt, num_transparent = [], [], 0
        transparency = self.dataset.transparency
        for position in indices:
            try:
                image = self.dataset[position]['inputs'].permute(1, 2, 0)
            except InputError as error:
                corrupt.append((position, str(error)))
                continue
            if tuple(image.shape) != self.shape:
                sizes = [
                    f'{self.dataset.source_of(place)} has {width} x {height} pixels in {channels} channels'
                    for place, (height, width, channels) in ((self.first, self.shape), (position, image.shape))
                ]
                return Chunk(
                    nothing,
                    [],
                    f'{sizes[0]}, but {sizes[1]}: the images of a pack have one size. Cut them to one by --size.',
                )
            rows.append(image)
            num_transparent += transparency is not None and transparency.is_transparent(position)
        return Chunk(torch.stack(rows) if rows else nothing, corrupt, num_transparent=num_transparent)


def load_chunks(chunks: Chunks, first: int, workers: int) -> Iterator[Chunk]:
    """Return an iterator over the chunks from the `first` on, read by several processes."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'This DataLoader will create')  # more processes than cores
        return iter(
            DataLoader(
                chunks,
                batch_size=None,
                sampler=range(first, len(chunks)),
                num_workers=workers if workers > 1 else 0,
                worker_init_fn=_one_core,
            )
        )


def _one_core(_: int) -> None:
    """Leave the other cores to the other processes."""
    cv2.setNumThreads(0)
