"""Parts for MMEngine's runner: hooks, loops, wrappers of optimisers, strategies, safe loading."""

import torch

from mmcm.engine.hooks import (
    AveragesHook,
    CompileHook,
    DataCheckHook,
    InterruptHook,
    LoopEndHook,
    LossBySigmaHook,
    NonFiniteGuardHook,
    PlainLogHook,
    RemainingTimeHook,
    ResumeDataHook,
    SampleGridHook,
    StepSeedHook,
    TrajectoryHook,
    ValidationHook,
    WholeCheckpointHook,
)
from mmcm.engine.loops import MicroBatchTrainLoop, SampleValLoop
from mmcm.engine.optimizers import AutocastOptimWrapper
from mmcm.engine.resuming.safe_loading import load_training_checkpoint
from mmcm.renamed import moved_name

__all__ = [
    'AutocastOptimWrapper',
    'AveragesHook',
    'CompileHook',
    'DataCheckHook',
    'InterruptHook',
    'LoopEndHook',
    'LossBySigmaHook',
    'MicroBatchTrainLoop',
    'NonFiniteGuardHook',
    'PlainLogHook',
    'RemainingTimeHook',
    'ResumeDataHook',
    'SampleGridHook',
    'SampleValLoop',
    'StepSeedHook',
    'TrajectoryHook',
    'ValidationHook',
    'WholeCheckpointHook',
    'load_training_checkpoint',
]

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.optimizers import DeepSpeedOptimWrapper
    from mmcm.engine.strategies import FSDPStrategy, shard_denoisers

    __all__ += ['DeepSpeedOptimWrapper', 'FSDPStrategy', 'shard_denoisers']


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
