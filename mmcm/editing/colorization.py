"""Colours for a grey picture."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmcm.editing.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.utils.errors import InputError

GREY_AXIS = (0.2989, 0.5870, 0.1140)  # of R, G and B in the brightness (ITU-R BT.601), as the released code has them


@OPERATORS.register_module()
class Colorization(EditingOperator):
    """The brightness of each pixel is known: P x = e <e, x>, e being the grey axis as a unit vector.

    Any orthonormal basis of the colours whose first vector is e has this P.
    """

    def degrade(self, image: Tensor) -> Tensor:
        """Return the grey picture of the same brightness."""
        check_colours(image)
        axis = image.new_tensor(GREY_AXIS)
        grey = torch.einsum('nchw,c->nhw', image, axis / axis.sum())
        return grey[:, None].expand_as(image).clone()

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return estimate + e <e, known - estimate>."""
        check_colours(estimate)
        axis = F.normalize(estimate.new_tensor(GREY_AXIS), dim=0)
        missing = torch.einsum('nchw,c->nhw', known - estimate, axis)
        return estimate + missing[:, None] * axis.view(1, 3, 1, 1)


def check_colours(images: Tensor) -> None:
    """Raise an InputError unless `images` (N, C, H, W) have three channels."""
    if images.shape[1] != 3:
        raise InputError(f'only pictures of three channels can be coloured, these have {images.shape[1]}: choose a '
                         'model of colour pictures.')
