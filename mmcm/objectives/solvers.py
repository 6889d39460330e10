"""One step of the probability flow ODE between two noise levels, which may differ from image to image."""

from collections.abc import Callable

from torch import Tensor

from mmcm.registry import SOLVERS

Denoise = Callable[[Tensor, Tensor], Tensor]  # (x (N, C, H, W), sigma (N,)) -> x0


@SOLVERS.register_module()
class EulerStep:
    """Euler's method (Song et al., 2023, Eq. 6): exact where `denoise` returns the clean image itself."""

    def __call__(self, denoise: Denoise, x: Tensor, sigma: Tensor, next_sigma: Tensor) -> Tensor:
        """Return `x` (N, C, H, W), moved from levels `sigma` (N,) to `next_sigma` (N,)."""
        slope = (x - denoise(x, sigma)) / column(sigma)
        return x + slope * column(next_sigma - sigma)


@SOLVERS.register_module()
class HeunStep:
    """Heun's second-order method, two calls of the denoiser a step: the paper's solver for distillation."""

    def __call__(self, denoise: Denoise, x: Tensor, sigma: Tensor, next_sigma: Tensor) -> Tensor:
        """Return `x` (N, C, H, W), moved from levels `sigma` (N,) to `next_sigma` (N,)."""
        slope = (x - denoise(x, sigma)) / column(sigma)
        euler = x + slope * column(next_sigma - sigma)
        next_slope = (euler - denoise(euler, next_sigma)) / column(next_sigma)
        return x + (slope + next_slope) * column((next_sigma - sigma) / 2)


def column(sigma: Tensor) -> Tensor:
    """Shape one number per image (N,) so that it multiplies images: (N, 1, 1, 1)."""
    return sigma.view(-1, 1, 1, 1)
