"""Euler's method on the probability flow ODE."""

from torch import Tensor

from mmcm.registry import SAMPLERS
from mmcm.samplers.base import Denoise, KarrasSampler, RandnLike


@SAMPLERS.register_module()
class EulerSampler(KarrasSampler):
    """Euler steps of dx/dsigma = (x - D(x, sigma)) / sigma (Karras et al., 2022, Eq. 3 and 4); one call a step."""

    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Return `x` (N, C, H, W), which denoises to `x0`, moved from level `sigma` to `next_sigma`."""
        return x + (x - x0) / sigma * (next_sigma - sigma)
