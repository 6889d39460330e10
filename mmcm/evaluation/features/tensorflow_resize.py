"""Bilinear resizing of TensorFlow 1, whose `align_corners=False` ignores pixel centres.

Output pixel i samples the input at i * size / new_size, not at (i + 0.5) * size / new_size - 0.5, so the image moves by
up to half a pixel. Networks of that time were trained with it, and FID is defined with it.
"""

import torch
from torch import Tensor


def resize_bilinear(images: Tensor, height: int, width: int) -> Tensor:
    """Resize `images` (N, C, H, W), float32: (N, C, height, width). No antialiasing."""
    return _along(_along(images, 3, width), 2, height)  # in the order in which TensorFlow rounds


def _along(images: Tensor, dim: int, new_size: int) -> Tensor:
    size = images.shape[dim]
    # TensorFlow, too, rounds the factor to single precision before the multiplication.
    factor = torch.tensor(size / new_size, dtype=torch.float32, device=images.device)
    place = torch.arange(new_size, dtype=torch.float32, device=images.device) * factor
    lower = place.long().clamp(max=size - 1)
    upper = (lower + 1).clamp(max=size - 1)
    weight = (place - lower).view(-1, *(1,) * (images.ndim - 1 - dim))
    near, far = images.index_select(dim, lower), images.index_select(dim, upper)
    return near + (far - near) * weight
