"""From a user's pictures to what `ConsistencyModel.edit` takes: an image of the model's shape and an operator."""
import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from mmcm.editing.colorization import Colorization
from mmcm.editing.inpainting import Inpainting
from mmcm.editing.pictures import fit_picture
from mmcm.editing.super_resolution import SuperResolution
from mmcm.utils.errors import InputError

Shape = tuple[int, int, int]  # channels, height and width of the model's images


def inpainting(picture: Image, mask: Image, shape: Shape) -> tuple[Tensor, Inpainting]:
    """Return `picture` (1, C, H, W) in [-1, 1], and the operator that draws it anew where `mask` is white.

    Raises:
        InputError: If the mask is not of the picture's size, or marks nothing of what the model sees.
    """
    if mask.size != picture.size:
        raise InputError(f'the mask is of {mask.width} x {mask.height} pixels and the picture of {picture.width} x '
                         f'{picture.height}: they have to be of one size.')
    weights = fit_picture(mask, 1, shape[-1])
    if weights.max() < 128:
        raise InputError('the mask marks nothing in the central square of the picture, which the model sees: paint '
                         'what is to be filled white (255), the rest black.')
    return to_tensor(fit_picture(picture, *shape[:2])), Inpainting(to_tensor(weights) / 2 + 0.5)


def colorization(picture: Image, shape: Shape) -> tuple[Tensor, Colorization]:
    """Return `picture` (1, C, H, W) in [-1, 1], and the operator that draws its colours anew."""
    return to_tensor(fit_picture(picture, *shape[:2])), Colorization()


def super_resolution(picture: Image, factor: int, shape: Shape) -> tuple[Tensor, SuperResolution]:
    """Return `picture` (1, C, H, W) in [-1, 1], and the operator that draws its details anew.

    A picture that is smaller than the model's by just the factor is the small one, and each of its pixels becomes a
    patch. Any other is brought to the model's size, and the operator knows the means of its patches.
    """
    operator = SuperResolution(factor)
    channels, size, _ = shape
    if (picture.width * factor, picture.height * factor) == (size, size):
        pixels = fit_picture(picture, channels, size // factor).repeat(factor, axis=0).repeat(factor, axis=1)
    else:
        pixels = fit_picture(picture, channels, size)
    return to_tensor(pixels), operator


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return `pixels` (H, W, C), uint8, as an image (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
