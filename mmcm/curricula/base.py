"""Stage of a curriculum: the numbers that an objective takes from it at a training step."""

from collections.abc import Callable
from typing import NamedTuple

from mmcm.utils.errors import InputError


class Stage(NamedTuple):
    """Numbers of a curriculum at a training step; each objective reads those that it needs.

    Attributes:
        num_scales (int, optional): Number of noise levels N; of steps for progressive distillation; None for ECT.
        target_decay (float): Share of its old weights that the target network keeps in a step; 0 where the online
            network is its own target, 1 where there is no target network.
        ratio (float, optional): Share of t by which ECT's step goes down, 1 - r / t, or share of t - s by which
            SoFlow's does; None for the methods of N levels.
    """

    num_scales: int | None
    target_decay: float
    ratio: float | None = None


Curriculum = Callable[[int], Stage]  # training step, counted from 0


def scales_at(curriculum: Callable[[int], tuple], step: int) -> tuple[int, float]:
    """Return N and the decay of the target at training step `step`; a curriculum may return just these two.

    Raises:
        InputError: If the curriculum has no number of scales.
    """
    stage = Stage(*curriculum(step))
    if stage.num_scales is None:
        raise InputError(
            f'{type(curriculum).__name__} has no number of scales: it is for EasyConsistencyTuning or SoFlow.'
        )
    return stage.num_scales, stage.target_decay


def ratio_at(curriculum: Callable[[int], tuple | float], step: int) -> float:
    """Return the ratio of ECT or SoFlow at training step `step`; a curriculum may return just this number.

    Raises:
        InputError: If the curriculum has no ratio.
    """
    stage = curriculum(step)
    ratio = Stage(*stage).ratio if isinstance(stage, tuple) else stage
    if ratio is None:
        raise InputError(
            f'{type(curriculum).__name__} has no ratio: EasyConsistencyTuning takes ShrinkingCurriculum, and SoFlow '
            'AnnealingCurriculum.'
        )
    return ratio


def check_scales(num_scales: int) -> None:
    """Raise an InputError unless there are two noise levels to compare."""
    if num_scales < 2:
        raise InputError(f'consistency needs two noise levels or more, got num_scales {num_scales}.')


def check_decay(decay: float) -> None:
    """Raise an InputError unless `decay` lies in [0, 1]."""
    if not 0 <= decay <= 1:
        raise InputError(f'a decay is a share of the old weights, in [0, 1], got {decay}.')


def check_stage_length(stage_length: int) -> None:
    """Raise an InputError unless a stage has a step."""
    if stage_length < 1:
        raise InputError(f'a stage needs at least one training step, got stage_length {stage_length}.')
