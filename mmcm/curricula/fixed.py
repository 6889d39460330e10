"""The curriculum of consistency distillation: none."""

from mmcm.registry import CURRICULA
from mmcm.utils.errors import InputError


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

    def __call__(self, step: int) -> tuple[int, float]:
        """Return N and mu for training step `step`, counted from 0."""
        return self.num_scales, self.target_decay


def check_scales(num_scales: int) -> None:
    """Raise an InputError unless there are two noise levels to compare."""
    if num_scales < 2:
        raise InputError(f'consistency needs two noise levels or more, got num_scales {num_scales}.')


def check_decay(decay: float) -> None:
    """Raise an InputError unless `decay` lies in [0, 1]."""
    if not 0 <= decay <= 1:
        raise InputError(f'a decay is a share of the old weights, in [0, 1], got {decay}.')
