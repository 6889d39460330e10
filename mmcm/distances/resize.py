"""Resizing of images as in the distances of the released training code."""

from torch import Tensor
from torch.nn import functional as F


def resize(images: Tensor, size: int) -> Tensor:
    """Return `images` (N, C, H, W) as (N, C, size, size), interpolated bilinearly without antialiasing."""
    return F.interpolate(images, size=(size, size), mode='bilinear', align_corners=False)
