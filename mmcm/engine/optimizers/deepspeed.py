"""Training with DeepSpeed."""

from typing import Any

import torch

from mmcm.registry import OPTIM_WRAPPERS
from mmcm.utils.mmengine_compat import CountedByDeepSpeed, strategies

MMEngineDeepSpeedOptimWrapper: Any = strategies().deepspeed.DeepSpeedOptimWrapper


@OPTIM_WRAPPERS.register_module()
class DeepSpeedOptimWrapper(CountedByDeepSpeed, MMEngineDeepSpeedOptimWrapper):
    """MMEngine's wrapper of DeepSpeed's optimisers, which also reports when they make a step, for the averages."""

    def step(self, **kwargs) -> None:
        """Make a step; without gradients, since gloo gathers the weights in place, which autograd would refuse."""
        with torch.no_grad():
            super().step(**kwargs)
