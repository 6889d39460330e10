"""Padding of small images, for networks that halve their size more often than it divides by two."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS
from mmcm.utils.errors import InputError


@TRANSFORMS.register_module()
class CenterPad(BaseTransform):
    """Centre the image in a square; an odd margin is larger at the bottom and on the right.

    Args:
        size (int): Height and width of the result in pixels.
        value (int): Level of the margin in every channel, 0 to 255.
    """

    def __init__(self, size: int, value: int = 0) -> None:
        self.size = size
        self.value = value

    def transform(self, results: dict) -> dict:
        """Pad `img`, (H, W, C) uint8; raise an InputError if it is larger than the square."""
        height, width, _ = results['img'].shape
        down, right = self.size - height, self.size - width
        if min(down, right) < 0:
            raise InputError(
                f'an image of {width} x {height} pixels cannot be padded to {self.size} x {self.size}: '
                'choose a larger size.'
            )
        margin = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
        results['img'] = np.pad(results['img'], margin, constant_values=self.value)
        return results
