"""Noise: its levels on a schedule, their distribution in training, and the generators it is drawn from."""

from mmcm.noise.generators import DeterministicNoise, PerSampleNoise, SampleNoise, SharedNoise
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.level_distributions import (
    LognormalIndices,
    LognormalLevels,
    TruncatedLogStudentLevels,
    UniformIndices,
    UniformLevels,
)
from mmcm.noise.loss_second_moment import LossSecondMomentLevels
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigma, karras_sigmas
from mmcm.noise.time_distributions import DyadicTimes, LogitNormalTimes, UniformTimes

__all__ = [
    'RHO',
    'SIGMA_MAX',
    'SIGMA_MIN',
    'DeterministicNoise',
    'DyadicTimes',
    'LogitNormalTimes',
    'LognormalIndices',
    'LognormalLevels',
    'LossSecondMomentLevels',
    'PerSampleNoise',
    'SampleNoise',
    'SharedNoise',
    'TruncatedLogStudentLevels',
    'UniformIndices',
    'UniformLevels',
    'UniformTimes',
    'check_range',
    'draw_for_batch',
    'karras_sigma',
    'karras_sigmas',
]
