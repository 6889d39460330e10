"""Bilinear resizing as TensorFlow 1 has it, where `align_corners=False` knows of no pixel centres.

Output pixel i looks at i * size / new_size of the input, not at (i + 0.5) * size / new_size - 0.5, so that the picture
moves by up to half a pixel. The networks of the time were trained so, and FID is defined with it.
"""

import torch
from torch import Tensor


def resize_bilinear(images: Tensor, height: int, width: int) -> Tensor:
    """Resize `images` (N, C, H, W), float32: (N, C, height, width). They are not smoothed where they become smaller."""
    return _along(_along(images, 3, width), 2, height)  # in this order, in which TensorFlow rounds


def _along(images: Tensor, dim: int, new_size: int) -> Tensor:
    size = images.shape[dim]
    # The factor is rounded to single precision before it is multiplied, as there.
    factor = torch.tensor(size / new_size, dtype=torch.float32, device=images.device)
    place = torch.arange(new_size, dtype=torch.float32, device=images.device) * factor
    lower = place.long().clamp(max=size - 1)
    upper = (lower + 1).clamp(max=size - 1)
    share = (place - lower).view(-1, *(1,) * (images.ndim - 1 - dim))
    near, far = images.index_select(dim, lower), images.index_select(dim, upper)
    return near + (far - near) * share
