"""Curricula in stages of equal length: progressive distillation, improved consistency training, consistency tuning."""

import math

from mmcm.curricula.base import Stage, check_scales, check_stage_length
from mmcm.registry import CURRICULA
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError


@CURRICULA.register_module()
class HalvingCurriculum:
    """Progressive distillation: half as many steps N in each stage, down to one.

    The last two stages, of two steps and of one, take twice as long, as in the code of Song et al. (2023,
    arXiv 2303.01469). There is no target network: the decay is 1.

    Args:
        start_steps (int): Number of steps N of the first student, a power of 2; the teacher makes two for each.
        stage_length (int): Training steps of a stage.
    """

    def __init__(self, start_steps: int, stage_length: int) -> None:
        if start_steps < 1 or start_steps & (start_steps - 1):
            raise InputError(f'start_steps has to be a power of 2, to be halved down to 1, got {start_steps}.')
        check_stage_length(stage_length)
        self.start_steps = start_steps
        self.stage_length = stage_length

    def __call__(self, step: int) -> Stage:
        """Return N for training step `step`, counted from 0, and 1."""
        stage = step // self.stage_length
        to_two = max(self.start_steps.bit_length() - 2, 0)  # stages before the one of two steps
        if stage < to_two:
            return Stage(self.start_steps >> stage, 1.0)
        return Stage(max(min(self.start_steps, 2) >> (stage - to_two) // 2, 1), 1.0)


@CURRICULA.register_module()
class DoublingCurriculum:
    """Improved consistency training (Song & Dhariwal, 2023, arXiv 2310.14189): the intervals double in each stage.

    N(k) = min(s_0 2^floor(k / K'), s_1) + 1 with K' = floor(K / (log2 floor(s_1 / s_0) + 1)). There is no target
    network: the decay is 0.

    Args:
        start_scales (int): s_0, at least 2; 10 in the paper.
        end_scales (int): s_1, at least s_0; 1280 in the paper.
        total_steps (int): K, the length of the training.
    """

    def __init__(self, start_scales: int, end_scales: int, total_steps: int) -> None:
        check_scales(start_scales)
        if end_scales < start_scales:
            raise InputError(f'end_scales has to be at least start_scales, got {end_scales} and {start_scales}.')
        self.start_scales = start_scales
        self.end_scales = end_scales
        self.stage_length = math.floor(total_steps / (math.log2(end_scales // start_scales) + 1))
        if self.stage_length < 1:
            raise InputError(f'{total_steps} total_steps are too few to double {start_scales} scales to {end_scales}.')

    def __call__(self, step: int) -> Stage:
        """Return N(k) for training step `step`, counted from 0, and 0."""
        stage = min(step // self.stage_length, self.end_scales.bit_length())  # 2^stage shall not grow without end
        return Stage(min(self.start_scales << stage, self.end_scales) + 1, 0.0)


@CURRICULA.register_module()
class ShrinkingCurriculum:
    """Easy consistency tuning (Geng et al., 2024, arXiv 2406.14548): the step from t to r shrinks in each stage.

    A ratio below 2^-24 is none in single precision, and nothing is learned from it: the training should end before, or
    the ratio have a limit.

    Args:
        stage_length (int): Training steps of a stage.
        q (float): How many times smaller 1 - r / t becomes in a stage, above 1; 2 for CIFAR-10 and 4 for ImageNet in
            the authors' recipes.
        ratio_limit (float): Largest ratio of the stages, in (0, 1]; later stages keep it. 0.999 for CIFAR-10 and 0.9961
            for ImageNet in the recipes of Lee et al. (2024, arXiv 2410.14895). 1 is none.
        first_stage (int): Number of the stage that the first step is in, at least 0, for a training that continues
            another one.
    """

    def __init__(self, stage_length: int, q: float = 2.0, ratio_limit: float = 1.0, first_stage: int = 0) -> None:
        check_stage_length(stage_length)
        if not q > 1:
            raise InputError(f'q has to be above 1, got {q}.')
        self.stage_length = stage_length
        if not 0 < ratio_limit <= 1:
            raise InputError(f'ratio_limit is the largest r / t, above 0 and at most 1, got {ratio_limit}.')
        check_count('first_stage', first_stage, least=0)
        self.first_stage = first_stage
        self.q = q
        self.ratio_limit = ratio_limit

    def __call__(self, step: int) -> Stage:
        """Return the ratio q^-(stage + 1), at least 1 - `ratio_limit`, for training step `step`, counted from 0."""
        stage = self.first_stage + step // self.stage_length
        ratio = max(self.q ** -(stage + 1), 1 - self.ratio_limit)
        return Stage(num_scales=None, target_decay=0.0, ratio=ratio)
