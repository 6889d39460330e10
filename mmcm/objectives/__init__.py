"""Objectives: what a model is trained to minimise."""
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.consistency_distillation import ConsistencyDistillation
from mmcm.objectives.consistency_training import ConsistencyTraining
from mmcm.objectives.edm import EDM
from mmcm.objectives.solvers import EulerStep, HeunStep
from mmcm.objectives.weightings import (
                                        InverseSigmaWeighting,
                                        KarrasWeighting,
                                        SNRPlusOneWeighting,
                                        SNRWeighting,
                                        TruncatedSNRWeighting,
                                        UniformWeighting,
)

__all__ = [
    'EDM', 'ConsistencyDistillation', 'ConsistencyTraining', 'EulerStep', 'HeunStep', 'InverseSigmaWeighting',
    'KarrasWeighting', 'Networks', 'Objective', 'SNRPlusOneWeighting', 'SNRWeighting', 'TruncatedSNRWeighting',
    'UniformWeighting'
]
