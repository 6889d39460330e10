"""Parts for MMEngine's runner: hooks, loops, wrappers and schedules of optimisers, strategies, safe loading."""

import torch

from mmcm.engine import hooks
from mmcm.engine.hooks import *  # noqa: F403
from mmcm.engine.loops import MicroBatchTrainLoop, SampleValLoop
from mmcm.engine.optimizers import AutocastOptimWrapper, InverseSqrtLR
from mmcm.engine.resuming.safe_loading import load_training_checkpoint
from mmcm.renamed import old_names

__getattr__ = old_names(__name__)
__all__ = [
    *hooks.__all__,
    'AutocastOptimWrapper',
    'InverseSqrtLR',
    'MicroBatchTrainLoop',
    'SampleValLoop',
    'load_training_checkpoint',
]

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.optimizers import DeepSpeedOptimWrapper
    from mmcm.engine.strategies import FSDPStrategy, shard_denoisers

    __all__ += ['DeepSpeedOptimWrapper', 'FSDPStrategy', 'shard_denoisers']
