"""Constant curriculum, that of consistency distillation."""

from mmcm.curricula.base import Stage, check_decay, check_scales
from mmcm.registry import CURRICULA


@CURRICULA.register_module()
class FixedCurriculum:
    """The same number of scales and the same decay of the target network in every step.

    Args:
        num_scales (int): Number of noise levels N, at least 2.
        target_decay (float): Share of the old weights that the target keeps in a step, in [0, 1].
    """

    def __init__(self, num_scales: int, target_decay: float) -> None:
        check_scales(num_scales)
        check_decay(target_decay)
        self.num_scales = num_scales
        self.target_decay = target_decay

    def __call__(self, step: int) -> Stage:
        """Return N and mu for training step `step`, counted from 0."""
        return Stage(self.num_scales, self.target_decay)
