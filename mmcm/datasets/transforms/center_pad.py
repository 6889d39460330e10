"""Padding of small images, for networks that halve their size more often than it divides by two."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size


@TRANSFORMS.register_module()
class CenterPad(BaseTransform):
    """Centre the image on a ground of one level; an odd margin is larger at the bottom and on the right.

    Args:
        size (int | Sequence[int]): Size of the result in pixels: the side of a square, or (height, width).
        value (int): Level of the margin in every channel, 0 to 255.
    """

    def __init__(self, size: Size, value: int = 0) -> None:
        self.size = plain_size(size)
        self.value = value

    def transform(self, results: dict) -> dict:
        """Pad `img`, (H, W, C) uint8; raise an InputError if it is larger than `size`."""
        height, width, _ = results['img'].shape
        padded_height, padded_width = height_and_width(self.size)
        down, right = padded_height - height, padded_width - width
        if min(down, right) < 0:
            raise InputError(
                f'an image of {width} x {height} pixels cannot be padded to {padded_width} x '
                f'{padded_height}: choose a larger size.'
            )
        margin = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
        results['img'] = np.pad(results['img'], margin, constant_values=self.value)
        return results
