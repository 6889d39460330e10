"""What the runner of MMEngine needs beside the model: hooks, a loop, wrappers of the optimiser, safe loading."""
import torch

from mmcm.engine.autocast_optim_wrapper import AutocastOptimWrapper
from mmcm.engine.hooks import (
    AveragesHook,
    CompileHook,
    DataCheckHook,
    InterruptHook,
    LoopEndHook,
    LossBySigmaHook,
    NonFiniteGuardHook,
    PlainLogHook,
    ResumeDataHook,
    SampleGridHook,
    StepSeedHook,
    TrajectoryHook,
    WholeCheckpointHook,
)
from mmcm.engine.micro_batch_train_loop import MicroBatchTrainLoop
from mmcm.engine.resumable_sampler import ResumableSampler
from mmcm.engine.safe_loading import load_training_checkpoint
from mmcm.engine.whole_batches import WholeBatches

__all__ = [
    'AutocastOptimWrapper', 'AveragesHook', 'CompileHook', 'DataCheckHook', 'InterruptHook', 'LoopEndHook',
    'LossBySigmaHook', 'MicroBatchTrainLoop', 'NonFiniteGuardHook', 'PlainLogHook', 'ResumableSampler',
    'ResumeDataHook', 'SampleGridHook', 'StepSeedHook', 'TrajectoryHook', 'WholeBatches', 'WholeCheckpointHook',
    'load_training_checkpoint'
]

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.deepspeed import DeepSpeedOptimWrapper
    from mmcm.engine.fsdp import FSDPStrategy, shard_denoisers

    __all__ += ['DeepSpeedOptimWrapper', 'FSDPStrategy', 'shard_denoisers']
