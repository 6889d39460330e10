"""Random crop, the alternative to the central one that shows more of a data set (Dhariwal & Nichol, 2021)."""

import math

import numpy as np
from mmcv.transforms import BaseTransform

from mmcm.datasets.transforms.shorter_side import MAX_SIDE, scale_shorter_side
from mmcm.registry import TRANSFORMS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError


@TRANSFORMS.register_module()
class RandomCropToSquare(BaseTransform):
    """Scale the shorter side to a random length (see `scale_shorter_side`) and cut out a random square.

    The length is uniform over the integers from `size` / `max_fraction` to `size` / `min_fraction`, both rounded up.
    Random numbers come from NumPy's global generator, which MMEngine seeds in every worker process.

    Args:
        size (int): Height and width of the result in pixels, at most `MAX_SIDE`.
        min_fraction (float): Smallest visible fraction of the shorter side, above 0.
        max_fraction (float): Largest visible fraction, at most 1.
    """

    def __init__(self, size: int, min_fraction: float = 0.8, max_fraction: float = 1.0) -> None:
        check_count('size', size, most=MAX_SIDE)
        if not 0 < min_fraction <= max_fraction <= 1:
            raise InputError(
                f'RandomCropToSquare needs 0 < min_fraction <= max_fraction <= 1, got {min_fraction} and '
                f'{max_fraction}.'
            )
        self.size = size
        self.shortest, self.longest = math.ceil(size / max_fraction), math.ceil(size / min_fraction)

    def transform(self, results: dict) -> dict:
        """Crop `img`, (H, W, C) uint8."""
        side = np.random.randint(self.shortest, self.longest + 1)
        pixels = scale_shorter_side(results['img'], side)
        top, left = (np.random.randint(length - self.size + 1) for length in pixels.shape[:2])
        results['img'] = pixels[top : top + self.size, left : left + self.size]
        return results
