"""Sampler of EDM: Heun's second-order method with optional churn."""

from torch import Tensor

from mmcm.registry import SAMPLERS
from mmcm.samplers.base import ChurnSampler, Denoise, RandnLike


@SAMPLERS.register_module()
class HeunSampler(ChurnSampler):
    """Karras et al. (2022, Algorithms 1 and 2): two calls a step, one in the last, which is Euler's."""

    @property
    def nfe(self) -> int:
        """NFE: 2 n - 1."""
        return 2 * self.num_steps - 1

    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Return `x` (N, C, H, W), which denoises to `x0`, moved from level `sigma` to `next_sigma`."""
        slope = (x - x0) / sigma
        euler = x + slope * (next_sigma - sigma)
        if next_sigma == 0:
            return euler
        next_slope = (euler - denoise(euler, x.new_full((x.shape[0],), next_sigma))) / next_sigma
        return x + (slope + next_slope) * ((next_sigma - sigma) / 2)
