"""Mixed precision where MMEngine's own wrapper does not go."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmcm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast on the CPU; MMEngine's AmpOptimWrapper needs an accelerator."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast for the forward pass, and skip the gradients' synchronisation while they accumulate."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
