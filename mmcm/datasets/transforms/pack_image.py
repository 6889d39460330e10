"""The last transform of a training pipeline."""
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Turn `img` (H, W, C) into `inputs` (C, H, W), and keep `gt_label`; the rest is dropped."""

    def transform(self, results: dict) -> dict:
        """Pack one sample."""
        pixels = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        return dict(inputs=torch.from_numpy(pixels), gt_label=results.get('gt_label'))
