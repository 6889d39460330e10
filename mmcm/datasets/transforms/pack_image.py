"""The last transform of a training pipeline."""
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Turn `img` (H, W, C), BGR as mmcv reads it, into `inputs` (C, H, W), RGB; of the rest, keep `gt_label`."""

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        pixels = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return dict(inputs=torch.from_numpy(pixels).flip(0), gt_label=results.get('gt_label'))
