"""Progressive curriculum of consistency training (Song et al., 2023, arXiv 2303.01469, Appendix C)."""

import math

from mmcm.curricula.base import Stage, check_decay, check_scales
from mmcm.registry import CURRICULA
from mmcm.utils.errors import InputError


@CURRICULA.register_module()
class ProgressiveCurriculum:
    """N(k) grows from s_0 to s_1 + 1, its square linearly in k, and mu(k) with it.

    N(k) = ceil(sqrt(k / K ((s_1 + 1)^2 - s_0^2) + s_0^2) - 1) + 1, and mu(k) = exp(s_0 log(mu_0) / (N(k) - 1)). The
    paper divides by N(k); we follow its code, for which mu(0) = mu_0^2 at s_0 = 2. With mu_0 = 0, the default of that
    code, log(mu_0) is minus infinity and mu(k) = 0: the target is the online network.

    Args:
        start_scales (int): s_0, at least 2.
        end_scales (int): s_1, at least s_0.
        total_steps (int): K, the step at which N reaches s_1 + 1; it goes on growing beyond.
        start_decay (float): mu_0, in [0, 1].
        adaptive (bool): Whether the decay follows N(k); it is `start_decay` throughout if not.
    """

    def __init__(
        self, start_scales: int, end_scales: int, total_steps: int, start_decay: float, adaptive: bool = True
    ) -> None:
        check_scales(start_scales)
        check_decay(start_decay)
        if end_scales < start_scales or total_steps < 1:
            raise InputError(
                'a progressive curriculum needs end_scales >= start_scales and total_steps >= 1, got '
                f'{end_scales}, {start_scales} and {total_steps}.'
            )
        self.start_scales = start_scales
        self.end_scales = end_scales
        self.total_steps = total_steps
        self.start_decay = start_decay
        self.adaptive = adaptive

    def __call__(self, step: int) -> Stage:
        """Return N(k) and mu(k) for training step `step`, counted from 0."""
        growth = step / self.total_steps * ((self.end_scales + 1) ** 2 - self.start_scales**2)
        intervals = max(math.ceil(math.sqrt(growth + self.start_scales**2) - 1), 1)
        decay = self.start_decay
        if self.adaptive:
            decay = self.start_decay ** (self.start_scales / intervals)
        return Stage(intervals + 1, decay)
