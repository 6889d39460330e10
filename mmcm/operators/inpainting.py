"""Inpainting: the pixels outside of a mask are known."""

from copy import copy

import torch
from torch import Tensor

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.utils.errors import InputError


@OPERATORS.register_module()
class Inpainting(EditingOperator):
    """Pixels are known, A = 1: P x = (1 - mask) x. Soft edges of the mask blend the two images.

    Args:
        mask (Tensor): 1 in what is to be filled and 0 outside, as in diffusers and MMagic; one for all images or one
            per image, (1 or N, 1, H, W). Where images have several candidates, those of an image follow each other.
    """

    def __init__(self, mask: Tensor) -> None:
        if mask.ndim != 4 or mask.shape[1] != 1:
            raise InputError(f'a mask has to be of shape (1 or N, 1, H, W), got {tuple(mask.shape)}.')
        self.mask = mask.float()
        if not ((self.mask >= 0) & (self.mask <= 1)).all():
            raise InputError('the values of a mask have to lie in [0, 1]: 1 is to be filled, 0 is kept.')

    def degrade(self, image: Tensor) -> Tensor:
        """Return `image` with its unknown pixels in medium grey, 0, as in the paper; the released code has -1."""
        return image.masked_fill(self._mask(image) == 1, 0.0)

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return (1 - mask) known + mask estimate."""
        mask = self._mask(estimate)
        return (1 - mask) * known + mask * estimate

    def to(self, device: torch.device | str) -> 'Inpainting':
        """Return the operator with its mask on `device`."""
        moved = copy(self)
        moved.mask = self.mask.to(device)
        return moved

    def _mask(self, images: Tensor) -> Tensor:
        """Return the mask, one for all of `images` or one for each."""
        masks = self.mask
        if masks.shape[-2:] != images.shape[-2:] or len(images) % len(masks):
            raise InputError(
                f'a mask of shape {tuple(masks.shape)} does not fit images of shape '
                f'{tuple(images.shape)}: it has to be (1 or N, 1, H, W).'
            )
        return masks if len(masks) == 1 else masks.repeat_interleave(len(images) // len(masks), dim=0)
