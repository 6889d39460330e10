"""Exponential moving averages of a network, and copies that are never trained."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from mmcm.curricula.base import check_decay
from mmcm.utils.errors import InputError

Network = TypeVar('Network', bound=nn.Module)


def check_decays(decays: Sequence[float]) -> tuple[float, ...]:
    """Return `decays` as a tuple; an InputError unless they are different numbers in [0, 1]."""
    if not isinstance(decays, (list, tuple)) or len(set(decays)) < len(decays):
        raise InputError(f'ema_decays has to be a list of different decays, such as (0.999, 0.9999), got {decays}.')
    for decay in decays:
        check_decay(decay)
    return tuple(decays)


def frozen(module: Network) -> Network:
    """Return `module` without gradients, in evaluation mode."""
    return module.requires_grad_(False).eval()


def update_ema(average: nn.Module, online: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `online`: average := decay average + (1 - decay) online."""
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in online.parameters()], 1 - decay)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set `module` to evaluation mode within the block."""
    if not module.training:  # to set the mode of hundreds of modules takes as long as a small network
        yield
        return
    module.eval()
    try:
        yield
    finally:
        module.train()
