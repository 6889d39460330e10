"""Exponential moving averages of a network, and copies that are never trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from mmcm.renamed import moved_name

Network = TypeVar('Network', bound=nn.Module)


def frozen(module: Network) -> Network:
    """Return `module` without gradients, in evaluation mode."""
    return module.requires_grad_(False).eval()


def update_ema(average: nn.Module, online: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `online`: average := decay average + (1 - decay) online."""
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in online.parameters()], 1 - decay)
    if decay == 0:  # a copy: what is not trained, such as random frequencies, may be of another network before
        for mine, theirs in zip(average.buffers(), online.buffers()):
            mine.copy_(theirs)


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


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
