"""Buffers of networks that keep their precision when the network computes in a lower one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Float32Buffers(nn.Module):
    """A module whose buffers stay in float32, such as frequencies: rounded ones would be wrong by whole periods."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'Float32Buffers':
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and new.dtype != old.dtype:
                # From the meta device, `fn` makes memory without values.
                self._buffers[name] = torch.empty_like(new, dtype=old.dtype) if old.is_meta else old.to(new.device)
        return self


def float32_keys(module: nn.Module) -> set[str]:
    """Return the names, as in `state_dict`, of the buffers in `module` that stay in float32."""
    return {
        f'{prefix}.{name}' if prefix else name
        for prefix, part in module.named_modules()
        if isinstance(part, Float32Buffers)
        for name in part._buffers
    }
