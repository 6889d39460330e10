"""The crop that the released models were trained on (Dhariwal & Nichol, 2021)."""
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmcm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CenterCropToSquare(BaseTransform):
    """Scale the shorter side to `size` and cut out the central square.

    The image is halved by averaging boxes of 2 x 2 while its shorter side is at least twice the size, then scaled
    bicubically (Pillow's filters, which smooth when they shrink; OpenCV's do not).

    Args:
        size (int): Height and width of the result in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Crop `img`, (H, W, C) uint8."""
        image = Image.fromarray(results['img'])
        while min(image.size) >= 2 * self.size:
            image = image.resize(tuple(side // 2 for side in image.size), resample=Image.Resampling.BOX)
        scale = self.size / min(image.size)
        image = image.resize(tuple(round(side * scale) for side in image.size), resample=Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        top, left = (pixels.shape[0] - self.size) // 2, (pixels.shape[1] - self.size) // 2
        results['img'] = pixels[top:top + self.size, left:left + self.size]
        return results
