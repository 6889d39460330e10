"""What the runner of MMEngine needs beside the model: hooks, a loop, wrappers of the optimiser, safe loading."""
from mmcm.engine.autocast_optim_wrapper import AutocastOptimWrapper
from mmcm.engine.deepspeed import DeepSpeedOptimWrapper
from mmcm.engine.fsdp import FSDPStrategy, shard_denoisers
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
    'AutocastOptimWrapper', 'AveragesHook', 'CompileHook', 'DataCheckHook', 'DeepSpeedOptimWrapper', 'FSDPStrategy',
    'MicroBatchTrainLoop', 'NonFiniteGuardHook', 'PlainLogHook', 'SampleGridHook', 'StepSeedHook',
    'WholeCheckpointHook', 'load_training_checkpoint', 'shard_denoisers'
]
