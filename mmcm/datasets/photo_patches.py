"""Patches of the two photographs in scikit-learn: real colours without a download."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.registry import DATASETS
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size

PHOTOS = ('china.jpg', 'flower.jpg')
HALVINGS = (0, 1)  # full and half size, where a patch shows more structure
SPLITS = dict(train=(1 / 3, 1.0), test=(0.0, 1 / 3))  # ranges of the width; the left third is held out


@DATASETS.register_module()
class PhotoPatches(ImageDataset):
    """Every patch of `china.jpg` and `flower.jpg` (`sklearn.datasets.load_sample_images`), at full and at half size.

    Patches overlap; none of 'train' shares a pixel with one of 'test'.

    Args:
        split (str): 'train', the right two thirds of the photographs, or 'test', the left third.
        size (int | Sequence[int]): Size of a patch in pixels: the side of a square, or (height, width).
        flip (bool): See ImageDataset.

    Raises:
        InputError: If scikit-learn is not installed, or a patch is larger than a photograph.
    """

    held_out_split: ClassVar = 'test'

    def __init__(self, split: str = 'train', size: Size = 32, flip: bool = False) -> None:
        check_choice('split', split, tuple(SPLITS))
        self.size = plain_size(size)
        high, wide = height_and_width(size)
        self.photos = [shrunk(photo, halvings, SPLITS[split]) for photo in read_photos() for halvings in HALVINGS]
        shapes = [photo.shape[1:] for photo in self.photos]
        most = tuple(map(min, zip(*shapes)))
        if high > most[0] or wide > most[1]:
            limit = min(most) if isinstance(self.size, int) else most
            raise InputError(f'size has to be at most {limit}, got {self.size}.')
        self.places = [(height - high + 1, width - wide + 1) for height, width in shapes]
        self.ends = np.cumsum([rows * columns for rows, columns in self.places])
        super().__init__(int(self.ends[-1]), None, (), 'photo_patches', flip)

    @property
    def apart(self) -> Sequence[int]:
        """See ImageDataset: the tiles of each photograph at each size, from the top left corner.

        The two sizes count as two photographs, although they show the same.
        """
        high, wide = height_and_width(self.size)
        return [
            int(end) + (top - rows) * columns + left
            for end, (rows, columns) in zip(self.ends, self.places)
            for top in range(0, rows, high)
            for left in range(0, columns, wide)
        ]

    @property
    def fingerprint(self) -> str:
        """See ImageDataset."""
        sha = hashlib.sha256(repr((self.size, self.flip)).encode())
        for photo in self.photos:
            sha.update(photo.contiguous().numpy().data)
        return sha.hexdigest()

    def patch(self, position: int) -> Tensor:
        """Return the patch at `position`, uint8, (3, H, W)."""
        high, wide = height_and_width(self.size)
        photo = int(np.searchsorted(self.ends, position, side='right'))
        rows, columns = self.places[photo]
        top, left = divmod(position - int(self.ends[photo]) + rows * columns, columns)
        return self.photos[photo][:, top : top + high, left : left + wide]

    def read(self, position: int) -> dict:
        """See ImageDataset."""
        return dict(inputs=self.patch(position).clone())

    def __getitems__(self, indices: Sequence[int]) -> dict:
        """Return a batch for DataLoader."""
        patches = [self.patch(index % self.num_images) for index in indices]
        mirrored = [patch.flip(-1) if index >= self.num_images else patch for index, patch in zip(indices, patches)]
        return dict(inputs=torch.stack(mirrored), gt_label=None)


def read_photos() -> list[Image.Image]:
    """Read the photographs from the folder of scikit-learn, whose import would take seconds."""
    package = find_spec('sklearn')
    if package is None or package.origin is None:
        raise InputError('the photographs come with scikit-learn, which is not installed: pip install scikit-learn.')
    folder = Path(package.origin).parent / 'datasets' / 'images'
    return [Image.open(folder / name).convert('RGB') for name in PHOTOS]


def shrunk(photo: Image.Image, halvings: int, part: tuple[float, float]) -> Tensor:
    """Return `part` of the width of a photograph, its sides halved `halvings` times, uint8, (3, H, W)."""
    left, right = (round(fraction * photo.width) for fraction in part)
    pixels = np.array(photo.crop((left, 0, right, photo.height)).reduce(2**halvings))
    return torch.from_numpy(pixels).permute(2, 0, 1)
