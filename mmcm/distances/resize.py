"""Resizing of images as in the distances of the released training code."""

from torch import Tensor
from torch.nn import functional as F


def resize(images: Tensor, size: int) -> Tensor:
    """Return `images` (N, C, H, W) with a shorter side of `size`, interpolated bilinearly without antialiasing."""
    sides = images.shape[-2:]
    scaled = [round(side * size / min(sides)) for side in sides]
    return F.interpolate(images, size=scaled, mode='bilinear', align_corners=False)
