"""Conversion of colours to grey levels."""

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmcm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ToGrey(BaseTransform):
    """Convert `img` to one channel, the brightness of ITU-R BT.601 as in Pillow's `convert('L')` and in editing.

    Grey images keep their levels.
    """

    def transform(self, results: dict) -> dict:
        """Convert `img`, (H, W, 3), BGR, or (H, W, 1), uint8, to (H, W, 1)."""
        pixels = results['img']
        if pixels.shape[2] == 3:
            results['img'] = np.asarray(Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).convert('L'))[
                ..., None
            ]
        return results
