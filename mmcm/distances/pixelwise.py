"""Pixelwise distances. Each takes two batches (N, C, H, W) and returns a distance per image, (N,)."""

import math

import torch
from torch import Tensor

from mmcm.distances.resize import resize
from mmcm.registry import DISTANCES
from mmcm.utils.errors import InputError


@DISTANCES.register_module()
class L1:
    """Mean absolute difference."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, C, H, W): (N,)."""
        return (a - b).abs().flatten(1).mean(1)


@DISTANCES.register_module()
class L2:
    """Mean squared difference: the squared l2 norm over the number of values, as in the released code.

    Args:
        size (int, optional): Height and width in pixels to which both images are resized first; 32 is l2-32 of the
            released code. None compares them at their size.

    Raises:
        InputError: If `size` is not a positive whole number.
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and not (isinstance(size, int) and size > 0):
            raise InputError(f'size has to be a number of pixels or None, got {size!r}; 32 makes it l2-32.')
        self.size = size

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, C, H, W): (N,)."""
        if self.size is not None:
            a, b = resize(a, self.size), resize(b, self.size)
        return (a - b).square().flatten(1).mean(1)


@DISTANCES.register_module()
class PseudoHuber:
    """sqrt(|a - b|^2 + c^2) - c with the norm over the whole image (Song & Dhariwal, 2023, arXiv 2310.14189).

    Args:
        factor (float): c in units of sqrt(C H W); 0.00054 in the paper. With 0 the distance is the l2 norm itself.
    """

    def __init__(self, factor: float = 0.00054) -> None:
        if not factor >= 0:
            raise InputError(f'factor has to be 0 or more, got {factor}; the paper has 0.00054.')
        self.factor = factor

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, C, H, W): (N,)."""
        difference = (a - b).flatten(1)
        if self.factor == 0:
            return torch.linalg.vector_norm(difference, dim=1)  # its gradient at 0 is 0, that of a root is not
        c = self.factor * math.sqrt(a[0].numel())
        return (difference.square().sum(1) + c**2).sqrt() - c
