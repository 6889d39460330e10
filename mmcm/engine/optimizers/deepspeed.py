"""Training with DeepSpeed."""

import torch
from mmengine._strategy.deepspeed import DeepSpeedOptimWrapper as MMEngineDeepSpeedOptimWrapper

from mmcm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class DeepSpeedOptimWrapper(MMEngineDeepSpeedOptimWrapper):
    """MMEngine's wrapper of DeepSpeed's optimisers, which also says when they make a step: the averages follow then."""

    @property
    def _accumulative_counts(self) -> int:
        return self.model.gradient_accumulation_steps()

    @property
    def _inner_count(self) -> int:
        return self.model.micro_steps

    def step(self, **kwargs) -> None:
        """Make a step; without gradients, since gloo gathers the weights in place, which autograd would refuse."""
        with torch.no_grad():
            super().step(**kwargs)

    def should_update(self) -> bool:
        """Return whether the last backward pass ended with a step."""
        return self._inner_count % self._accumulative_counts == 0
