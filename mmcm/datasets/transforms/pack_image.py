"""Conversion of pixels to a tensor, the last transform of a pipeline."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS
from mmcm.utils.errors import InputError

HAS_COLOURS = 'has colours, and grey images are expected'


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Convert `img` (H, W, C), BGR as in mmcv, to `inputs` (C, H, W), RGB; keep only `gt_label` besides.

    Args:
        channels (int, optional): 1: grey levels, also from files, which are decoded to colours; 3: colours, also from
            grey images; None: unchanged.

    Raises:
        InputError: If an image for `channels=1` has colours.
    """

    def __init__(self, channels: int | None = None) -> None:
        if channels not in (None, 1, 3):
            raise InputError(f'channels has to be 1, 3 or None, got {channels!r}.')
        self.channels = channels

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        pixels = results['img'].transpose(2, 0, 1)[::-1]
        if self.channels == 1 and len(pixels) > 1:
            if not (pixels == pixels[:1]).all():
                raise InputError(
                    f'{results.get("img_path", "an image")} {HAS_COLOURS}: '
                    'convert it, by Pillow\'s image.convert("L"), or take the data for colours.'
                )
            pixels = pixels[:1]
        elif self.channels == 3:
            pixels = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
        return dict(inputs=torch.from_numpy(pixels.copy()), gt_label=results.get('gt_label'))
