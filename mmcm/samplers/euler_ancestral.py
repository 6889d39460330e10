"""Ancestral sampling with Euler steps."""

import math

from torch import Tensor

from mmcm.registry import SAMPLERS
from mmcm.samplers.base import Denoise, KarrasSampler, RandnLike


@SAMPLERS.register_module()
class EulerAncestralSampler(KarrasSampler):
    """Euler step to below the next level, then fresh noise up to it; one call a step."""

    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Return `x` (N, C, H, W), which denoises to `x0`, moved from level `sigma` to `next_sigma`."""
        fresh = math.sqrt(next_sigma**2 * (sigma**2 - next_sigma**2) / sigma**2)
        below = math.sqrt(next_sigma**2 - fresh**2)
        x = x + (x - x0) / sigma * (below - sigma)
        return x + randn_like(x) * fresh if fresh else x
