"""What the runner of MMEngine needs beside the model: hooks, a loop, wrappers of the optimiser, safe loading."""
import torch

from mmcm.engine.autocast_optim_wrapper import AutocastOptimWrapper
from mmcm.engine.hooks import (
    AveragesHook,
    CompileHook,
    DataCheckHook,
    NonFiniteGuardHook,
    PlainLogHook,
    SampleGridHook,
    StepSeedHook,
    WholeCheckpointHook,
)
from mmcm.engine.micro_batch_train_loop import MicroBatchTrainLoop
from mmcm.engine.safe_loading import load_training_checkpoint

__all__ = [
    'AutocastOptimWrapper', 'AveragesHook', 'CompileHook', 'DataCheckHook', 'MicroBatchTrainLoop',
    'NonFiniteGuardHook', 'PlainLogHook', 'SampleGridHook', 'StepSeedHook', 'WholeCheckpointHook',
    'load_training_checkpoint'
]

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.deepspeed import DeepSpeedOptimWrapper
    from mmcm.engine.fsdp import FSDPStrategy, shard_denoisers

    __all__ += ['DeepSpeedOptimWrapper', 'FSDPStrategy', 'shard_denoisers']
