"""Objectives: what a model is trained to minimise."""

from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.consistency_distillation import ConsistencyDistillation
from mmcm.objectives.consistency_training import ConsistencyTraining
from mmcm.objectives.continuous_consistency import ContinuousConsistencyDistillation, ContinuousConsistencyTraining
from mmcm.objectives.easy_consistency_tuning import EasyConsistencyTuning
from mmcm.objectives.edm import EDM
from mmcm.objectives.flow_map import FlowMapObjective
from mmcm.objectives.improved_consistency_training import ImprovedConsistencyTraining
from mmcm.objectives.improved_mean_flow import ImprovedMeanFlow
from mmcm.objectives.mean_flow import MeanFlow
from mmcm.objectives.pixel_mean_flow import PixelMeanFlow
from mmcm.objectives.progressive_distillation import ProgressiveDistillation
from mmcm.objectives.shortcut import Shortcut
from mmcm.objectives.solution_flow import SolutionFlow
from mmcm.objectives.solvers import EulerStep, HeunStep
from mmcm.objectives.tangents import FiniteDifferenceTangent, ForwardModeTangent
from mmcm.objectives.truncated_consistency_tuning import TruncatedConsistencyTuning
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
    'FlowMapObjective',
    'ForwardModeTangent',
    'HeunStep',
    'ImprovedConsistencyTraining',
    'ImprovedMeanFlow',
    'InverseSigmaWeighting',
    'KarrasWeighting',
    'MeanFlow',
    'Networks',
    'Objective',
    'PixelMeanFlow',
    'ProgressiveDistillation',
    'SNRPlusOneWeighting',
    'SNRWeighting',
    'Shortcut',
    'SolutionFlow',
    'TruncatedConsistencyTuning',
    'TruncatedSNRWeighting',
    'UniformWeighting',
]
