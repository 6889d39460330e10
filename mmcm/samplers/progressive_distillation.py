"""The sampler of progressively distilled models."""

import torch

from mmcm.noise.schedules import karras_sigmas
from mmcm.registry import SAMPLERS
from mmcm.samplers.euler import EulerSampler


@SAMPLERS.register_module()
class ProgressiveDistillationSampler(EulerSampler):
    """The Euler (DDIM) steps that a student was taught to take (Salimans & Ho, 2022, arXiv 2202.00512).

    `num_steps` steps divide the way from sigma_max to sigma_min, and end there: with no last jump to zero.
    """

    def levels(self, dtype: torch.dtype) -> list[float]:
        """Return the level before the first step and after each, computed in `dtype`: num_steps + 1 numbers."""
        return karras_sigmas(self.num_steps + 1, self.sigma_min, self.sigma_max, self.rho, dtype).tolist()
