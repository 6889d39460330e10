"""One step of the probability flow ODE between two noise levels, which may differ from image to image."""

from collections.abc import Callable

from torch import Tensor

from mmcm.registry import SOLVERS


@SOLVERS.register_module()
class EulerStep:
    """Euler's method (Song et al., 2023, Eq. 6): exact where the estimate is the clean image itself."""

    def __call__(
        self, estimate: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor, next_sigma: Tensor
    ) -> Tensor:
        """Take `x` (N, C, H, W) from levels `sigma` (N,) to `next_sigma` (N,), given estimate(x, sigma) -> x0."""
        slope = (x - estimate(x, sigma)) / column(sigma)
        return x + slope * column(next_sigma - sigma)


@SOLVERS.register_module()
class HeunStep:
    """Heun's second-order method, two estimates a step: the solver that distillation in the paper uses."""

    def __call__(
        self, estimate: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor, next_sigma: Tensor
    ) -> Tensor:
        """Take `x` (N, C, H, W) from levels `sigma` (N,) to `next_sigma` (N,), given estimate(x, sigma) -> x0."""
        slope = (x - estimate(x, sigma)) / column(sigma)
        euler = x + slope * column(next_sigma - sigma)
        next_slope = (euler - estimate(euler, next_sigma)) / column(next_sigma)
        return x + (slope + next_slope) * column((next_sigma - sigma) / 2)


def column(sigma: Tensor) -> Tensor:
    """Shape one number per image (N,) so that it multiplies images: (N, 1, 1, 1)."""
    return sigma.view(-1, 1, 1, 1)
