"""Wrappers of optimisers, and schedules of their parameters."""

import torch

from mmcm.engine.optimizers.autocast_optim_wrapper import AutocastOptimWrapper
from mmcm.engine.optimizers.inverse_sqrt_lr import InverseSqrtLR

__all__ = ['AutocastOptimWrapper', 'InverseSqrtLR']

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.optimizers.deepspeed import DeepSpeedOptimWrapper

    __all__ += ['DeepSpeedOptimWrapper']
