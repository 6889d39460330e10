"""Wrappers that MMEngine puts around a module for distributed runs."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside the wrapper `model`, or `model` itself if it is none."""
    return model.module if is_model_wrapper(model) else model  # type: ignore[return-value]
