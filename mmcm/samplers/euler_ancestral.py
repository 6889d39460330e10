"""Ancestral sampling with Euler steps."""

import math

from torch import Tensor

from mmcm.registry import SAMPLERS
from mmcm.samplers.base import Denoise, KarrasSampler, RandnLike


@SAMPLERS.register_module()
class EulerAncestralSampler(KarrasSampler):
    """Each step goes below its goal by Euler's method and comes back up to it with fresh noise; one call a step."""

    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Take `x` (N, C, H, W), whose clean image is estimated as `x0`, from level `sigma` to `next_sigma`."""
        fresh = math.sqrt(next_sigma**2 * (sigma**2 - next_sigma**2) / sigma**2)
        below = math.sqrt(next_sigma**2 - fresh**2)
        x = x + (x - x0) / sigma * (below - sigma)
        return x + randn_like(x) * fresh if fresh else x
