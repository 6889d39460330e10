"""Exponential moving averages of a network, and copies that are never trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
