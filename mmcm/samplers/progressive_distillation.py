"""Sampler of progressively distilled models."""

from mmcm.registry import SAMPLERS
from mmcm.samplers.euler import EulerSampler


@SAMPLERS.register_module()
class ProgressiveDistillationSampler(EulerSampler):
    """Euler (DDIM) steps of a distilled student (Salimans & Ho, 2022, arXiv 2202.00512).

    `num_steps` steps divide the way from sigma_max to sigma_min, or go along `sigmas`, and end there: no step to zero
    follows.
    """

    ends_at_zero = False
