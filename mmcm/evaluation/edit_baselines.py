"""The standard edits that models are compared by, and baselines that edit without a model.

Baselines take the known part of images, as an `EditingOperator` shows it, and return images, both (N, C, H, W) in
[-1, 1].
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmcm.operators import Colorization, EditingOperator, Inpainting, SuperResolution
from mmcm.operators.colorization import GREY_AXIS, along_grey_axis
from mmcm.utils.image_shape import Size, height_and_width

TELEA_RADIUS = 3.0  # pixels, of the neighbourhood that a pixel is filled from

Baseline = Callable[[Tensor], Tensor]


class Edit(NamedTuple):
    """An edit to measure, and its baselines.

    Attributes:
        operator (EditingOperator): What is known; an `Inpainting` has one mask for all images.
        baselines (dict[str, Callable]): By name, functions from what is known to images, (N, C, H, W) in [-1, 1]; grids
            show the last one.
    """

    operator: EditingOperator
    baselines: dict[str, Baseline]


def standard_edits(size: Size, colour: Tensor | None, factor: int = 4) -> dict[str, Edit]:
    """Return the edits that models are compared by: colours, details, and a quarter of the image.

    Args:
        size (int | Sequence[int]): Size of the images in pixels: the side of squares, or (height, width).
        colour (Tensor, optional): Mean colour of the images that the model was trained on, (3,), in [-1, 1]; None for
            grey images, which leaves out 'colorize'.
        factor (int): By which images are enlarged.
    """
    mask = middle_mask(size)
    colours = (
        {}
        if colour is None
        else {'colorize': Edit(Colorization(), {'grey': unchanged, 'mean colour': partial(mean_chroma, colour=colour)})}
    )
    return {
        **colours,
        'super-resolve': Edit(
            SuperResolution(factor), {'patch means': unchanged, 'bicubic': partial(bicubic, factor=factor)}
        ),
        'inpaint': Edit(
            Inpainting(mask),
            {'mean of the known': partial(mean_of_known, mask=mask), 'Telea': partial(telea, mask=mask)},
        ),
    }


def middle_mask(size: Size) -> Tensor:
    """Return the mask, (1, 1, H, W), of the middle with half the height and width: a quarter of the pixels."""
    height, width = height_and_width(size)
    mask = torch.zeros(1, 1, height, width, dtype=torch.float32, device='cpu')
    top, left = height // 4, width // 4
    mask[..., top : top + height // 2, left : left + width // 2] = 1
    return mask


def unchanged(known: Tensor) -> Tensor:
    """Return what is known: the grey image, or the means of patches."""
    return known


def mean_chroma(known: Tensor, colour: Tensor) -> Tensor:
    """Give every pixel of grey images the chroma of one colour; its brightness stays.

    Args:
        known (Tensor): Grey images, (N, 3, H, W).
        colour (Tensor): (3,), in [-1, 1], for example the mean of the images that a model was trained on. Its chroma is
            the colour minus its brightness, which `Colorization` defines.
    """
    colour = colour.view(1, 3, 1, 1)
    return known + colour - along_grey_axis(colour) / sum(GREY_AXIS)


def bicubic(known: Tensor, factor: int) -> Tensor:
    """Enlarge the means of patches of factor x factor pixels by Keys' cubic convolution with a = -1/2, as Pillow does.

    Args:
        known (Tensor): The means, each in all pixels of its patch, as `SuperResolution` shows them.
        factor (int): Side of a patch in pixels.
    """
    small = F.avg_pool2d(known, factor)
    # torch's own bicubic has a = -3/4; with `antialias`, which changes nothing else where images grow, -1/2.
    return F.interpolate(small, scale_factor=factor, mode='bicubic', antialias=True)


def mean_of_known(known: Tensor, mask: Tensor) -> Tensor:
    """Fill the unknown part of each image with the mean colour of the known part; `mask` as in `telea`."""
    weights = 1 - mask
    mean = (known * weights).sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True)
    return torch.where(mask == 1, mean, known)


def telea(known: Tensor, mask: Tensor) -> Tensor:
    """Fill the unknown part by the fast marching method of OpenCV (Telea, 2004); images become 8 bit.

    Args:
        known (Tensor): Images of one or three channels.
        mask (Tensor): 1 in what is to be filled, 0 elsewhere, (1, 1, H, W).
    """
    hole = (mask[0, 0] == 1).byte().cpu().numpy()
    pixels = ((known + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    filled = [cv2.inpaint(np.ascontiguousarray(image), hole, TELEA_RADIUS, cv2.INPAINT_TELEA) for image in pixels]
    images = torch.from_numpy(np.stack(filled)).reshape(pixels.shape).permute(0, 3, 1, 2)
    return images.to(known) / 127.5 - 1
