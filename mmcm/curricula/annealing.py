"""Curriculum of solution flow models: the step of their consistency loss shrinks continuously."""

import math
from collections.abc import Callable

from mmcm.curricula.base import Stage
from mmcm.registry import CURRICULA
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.errors import InputError

SHAPES: dict[str, Callable[[float, float, float], float]] = {
    'linear': lambda start, end, part: start + part * (end - start),
    'cosine': lambda start, end, part: end + (start - end) * (1 + math.cos(math.pi * part)) / 2,
    'exponential': lambda start, end, part: start ** (1 - part) * end**part,
}


@CURRICULA.register_module()
class AnnealingCurriculum:
    """SoFlow's r(k, K) (Luo et al., 2025, arXiv 2512.15657, Section 3.4): a ratio that goes from one value to another.

    Args:
        total_steps (int): K, the length of the training; afterwards the ratio is `end_ratio`.
        start_ratio (float): Ratio in the first step, in (0, 1].
        end_ratio (float): Ratio at the end, in (0, 1].
        shape (str): 'exponential', 'cosine' or 'linear'.
    """

    def __init__(
        self, total_steps: int, start_ratio: float = 0.1, end_ratio: float = 0.002, shape: str = 'exponential'
    ) -> None:
        check_count('total_steps', total_steps)
        check_choice('shape', shape, tuple(SHAPES))
        for name, ratio in (('start_ratio', start_ratio), ('end_ratio', end_ratio)):
            if not 0 < ratio <= 1:
                raise InputError(f'{name} is a share of the way from t to s, above 0 and at most 1, got {ratio}.')
        self.total_steps = total_steps
        self.start_ratio = start_ratio
        self.end_ratio = end_ratio
        self.shape = shape

    def __call__(self, step: int) -> Stage:
        """Return the ratio for training step `step`, counted from 0."""
        part = min(step / self.total_steps, 1.0)
        ratio = SHAPES[self.shape](self.start_ratio, self.end_ratio, part)
        return Stage(num_scales=None, target_decay=0.0, ratio=ratio)
