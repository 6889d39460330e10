"""Distances that compare pixel by pixel. Each takes two batches (N, C, H, W) and returns a distance per image, (N,)."""
import math

from torch import Tensor

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
    """Mean squared difference: the squared l2 norm over the number of values, as in the released code."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, C, H, W): (N,)."""
        return (a - b).square().flatten(1).mean(1)


@DISTANCES.register_module()
class PseudoHuber:
    """sqrt(|a - b|^2 + c^2) - c with the norm over the whole image (Song & Dhariwal, 2023, arXiv 2310.14189).

    Args:
        factor (float): c in units of sqrt(C H W); 0.00054 in the paper.
    """

    def __init__(self, factor: float = 0.00054) -> None:
        if not factor > 0:
            raise InputError(f'factor has to be positive, got {factor}; the paper has 0.00054.')
        self.factor = factor

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, C, H, W): (N,)."""
        c = self.factor * math.sqrt(a[0].numel())
        return ((a - b).square().flatten(1).sum(1) + c**2).sqrt() - c
