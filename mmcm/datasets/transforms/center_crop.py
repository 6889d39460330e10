"""Central crop of the training data of the released models (Dhariwal & Nichol, 2021)."""

from mmcv.transforms import BaseTransform

from mmcm.datasets.transforms.shorter_side import MAX_SIDE, scale_shorter_side
from mmcm.registry import TRANSFORMS
from mmcm.utils.checks import check_count


@TRANSFORMS.register_module()
class CenterCropToSquare(BaseTransform):
    """Scale the shorter side to `size` (see `scale_shorter_side`) and cut out the central square.

    Args:
        size (int): Height and width of the result in pixels, at most `MAX_SIDE`.
    """

    def __init__(self, size: int) -> None:
        check_count('size', size, most=MAX_SIDE)
        self.size = size

    def transform(self, results: dict) -> dict:
        """Crop `img`, (H, W, C) uint8."""
        pixels = scale_shorter_side(results['img'], self.size)
        top, left = (pixels.shape[0] - self.size) // 2, (pixels.shape[1] - self.size) // 2
        results['img'] = pixels[top : top + self.size, left : left + self.size]
        return results
