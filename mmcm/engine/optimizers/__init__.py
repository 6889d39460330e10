"""Wrappers of optimisers."""

import torch

from mmcm.engine.optimizers.autocast_optim_wrapper import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper']

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.optimizers.deepspeed import DeepSpeedOptimWrapper

    __all__ += ['DeepSpeedOptimWrapper']
