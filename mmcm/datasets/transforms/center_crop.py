"""Central crop of the training data of the released models (Dhariwal & Nichol, 2021)."""

from mmcv.transforms import BaseTransform

from mmcm.datasets.transforms.shorter_side import MAX_SIDE, scale_to_cover
from mmcm.registry import TRANSFORMS
from mmcm.utils.checks import check_count
from mmcm.utils.image_shape import Size, height_and_width, plain_size


@TRANSFORMS.register_module()
class CenterCropToSize(BaseTransform):
    """Scale the image to cover `size` (see `scale_to_cover`) and cut out its middle.

    Args:
        size (int | Sequence[int]): Size of the result in pixels: the side of a square, or (height, width); each at most
            `MAX_SIDE`.
    """

    def __init__(self, size: Size) -> None:
        self.size = plain_size(size, most=MAX_SIDE)

    def transform(self, results: dict) -> dict:
        """Crop `img`, (H, W, C) uint8."""
        height, width = height_and_width(self.size)
        pixels = scale_to_cover(results['img'], height, width)
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        results['img'] = pixels[top : top + height, left : left + width]
        return results


@TRANSFORMS.register_module()
class CenterCropToSquare(CenterCropToSize):
    """Scale the shorter side to `size` and cut out the central square: `CenterCropToSize` for squares.

    Args:
        size (int): Height and width of the result in pixels, at most `MAX_SIDE`.
    """

    def __init__(self, size: int) -> None:
        check_count('size', size, most=MAX_SIDE)
        super().__init__(size)


def center_crop(size: Size) -> dict:
    """Return the config of the central crop to `size`."""
    size = plain_size(size)
    return dict(type='CenterCropToSquare' if isinstance(size, int) else 'CenterCropToSize', size=size)
