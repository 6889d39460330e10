"""What the runner of MMEngine needs beside the model: hooks, wrappers of the optimiser, safe loading."""
from mmcm.engine.autocast_optim_wrapper import AutocastOptimWrapper
from mmcm.engine.hooks import AveragesHook, PlainLogHook, SampleGridHook, StepSeedHook
from mmcm.engine.safe_loading import load_training_checkpoint

__all__ = [
    'AutocastOptimWrapper', 'AveragesHook', 'PlainLogHook', 'SampleGridHook', 'StepSeedHook', 'load_training_checkpoint'
]
