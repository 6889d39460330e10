"""Mixed precision on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmcm.registry import OPTIM_WRAPPERS
from mmcm.utils.log import log_warning
from mmcm.utils.precision import emulation_notice


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Run the forward pass under bfloat16 autocast on the CPU; MMEngine's AmpOptimWrapper needs an accelerator.

    The log warns where the processor emulates bfloat16. Arguments: see `OptimWrapper`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        notice = emulation_notice(torch.bfloat16, torch.device('cpu'), 'Train without --amp (type OptimWrapper).')
        if notice:
            log_warning(notice)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast for the forward pass, and skip the gradients' synchronisation while they accumulate."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
