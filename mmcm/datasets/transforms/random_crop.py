"""Random crop, the alternative to the central one that shows more of a data set (Dhariwal & Nichol, 2021)."""

import math

import numpy as np
from mmcv.transforms import BaseTransform

from mmcm.datasets.transforms.shorter_side import MAX_SIDE, scale_to_cover
from mmcm.registry import TRANSFORMS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size


@TRANSFORMS.register_module()
class RandomCropToSize(BaseTransform):
    """Scale the image to cover a random multiple of `size` (see `scale_to_cover`) and cut out a random part.

    With s the shorter side of `size`, that of the multiple is uniform over the integers from s / `max_fraction` to
    s / `min_fraction`, both rounded up. Random numbers come from NumPy's global generator, which MMEngine seeds in
    every worker process.

    Args:
        size (int | Sequence[int]): Size of the result in pixels: the side of a square, or (height, width); each at most
            `MAX_SIDE`.
        min_fraction (float): Smallest visible fraction of the shorter side, above 0.
        max_fraction (float): Largest visible fraction, at most 1.
    """

    def __init__(self, size: Size, min_fraction: float = 0.8, max_fraction: float = 1.0) -> None:
        self.size = plain_size(size, most=MAX_SIDE)
        if not 0 < min_fraction <= max_fraction <= 1:
            raise InputError(
                f'{type(self).__name__} needs 0 < min_fraction <= max_fraction <= 1, got {min_fraction} and '
                f'{max_fraction}.'
            )
        side = min(height_and_width(size))
        self.shortest, self.longest = math.ceil(side / max_fraction), math.ceil(side / min_fraction)

    def transform(self, results: dict) -> dict:
        """Crop `img`, (H, W, C) uint8."""
        side = np.random.randint(self.shortest, self.longest + 1)
        sides = height_and_width(self.size)
        pixels = scale_to_cover(results['img'], *(-(-length * side // min(sides)) for length in sides))
        top, left = (np.random.randint(whole - part + 1) for whole, part in zip(pixels.shape, sides))
        results['img'] = pixels[top : top + sides[0], left : left + sides[1]]
        return results


@TRANSFORMS.register_module()
class RandomCropToSquare(RandomCropToSize):
    """Scale the shorter side to a random length and cut out a random square: `RandomCropToSize` for squares.

    Args:
        size (int): Height and width of the result in pixels, at most `MAX_SIDE`.
        min_fraction, max_fraction: See RandomCropToSize.
    """

    def __init__(self, size: int, min_fraction: float = 0.8, max_fraction: float = 1.0) -> None:
        check_count('size', size, most=MAX_SIDE)
        super().__init__(size, min_fraction, max_fraction)
