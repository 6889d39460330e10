"""Objectives: what a model is trained to minimise."""

from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.consistency_distillation import ConsistencyDistillation
from mmcm.objectives.consistency_training import ConsistencyTraining
from mmcm.objectives.continuous_consistency import ContinuousConsistencyDistillation, ContinuousConsistencyTraining
from mmcm.objectives.easy_consistency_tuning import EasyConsistencyTuning
from mmcm.objectives.edm import EDM
from mmcm.objectives.improved_consistency_training import ImprovedConsistencyTraining
from mmcm.objectives.progressive_distillation import ProgressiveDistillation
from mmcm.objectives.solvers import EulerStep, HeunStep
from mmcm.objectives.tangents import FiniteDifferenceTangent, ForwardModeTangent
from mmcm.objectives.weightings import (
    InverseSigmaWeighting,
    KarrasWeighting,
    SNRPlusOneWeighting,
    SNRWeighting,
    TruncatedSNRWeighting,
    UniformWeighting,
)

__all__ = [
    'EDM',
    'ConsistencyDistillation',
    'ConsistencyTraining',
    'ContinuousConsistencyDistillation',
    'ContinuousConsistencyTraining',
    'EasyConsistencyTuning',
    'EulerStep',
    'FiniteDifferenceTangent',
    'ForwardModeTangent',
    'HeunStep',
    'ImprovedConsistencyTraining',
    'InverseSigmaWeighting',
    'KarrasWeighting',
    'Networks',
    'Objective',
    'ProgressiveDistillation',
    'SNRPlusOneWeighting',
    'SNRWeighting',
    'TruncatedSNRWeighting',
    'UniformWeighting',
]
