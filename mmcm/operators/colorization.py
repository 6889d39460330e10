"""Colorization: the brightness of each pixel is known, its colour is not."""

import torch
from torch import Tensor

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.utils.errors import InputError

GREY_AXIS = (0.2989, 0.5870, 0.1140)  # of R, G and B in the brightness (ITU-R BT.601), as the released code has them


@OPERATORS.register_module()
class Colorization(EditingOperator):
    """The brightness of each pixel is known: P x = a <a, x> / <a, a>, a being the grey axis.

    Any orthonormal basis of the colours whose first vector points along a has this P.
    """

    def degrade(self, image: Tensor) -> Tensor:
        """Return the grey image of the same brightness."""
        return (along_grey_axis(image) / sum(GREY_AXIS)).repeat(1, 3, 1, 1)

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return estimate + a <a, known - estimate> / <a, a>."""
        missing = along_grey_axis(known - estimate) / sum(weight**2 for weight in GREY_AXIS)
        return torch.cat([channel + weight * missing for weight, channel in zip(GREY_AXIS, estimate.split(1, 1))], 1)


def along_grey_axis(images: Tensor) -> Tensor:
    """Return <a, x> for each pixel, (N, 1, H, W); an InputError unless `images` (N, C, H, W) have three channels."""
    if images.shape[1] != 3:
        raise InputError(
            f'only pictures of three channels can be coloured, these have {images.shape[1]}: choose a '
            'model of colour pictures.'
        )
    # Python numbers: a tensor of them would have to be copied to the device in each step.
    return sum(weight * channel for weight, channel in zip(GREY_AXIS, images.split(1, 1)))
