"""Models as MMEngine wraps them for several processes."""

from typing import Any

from torch import nn

from mmcm.utils.mmengine_bases import is_model_wrapper


def unwrapped(model: nn.Module) -> Any:
    """Return the model inside `model`, or `model` itself if nothing wraps it."""
    return model.module if is_model_wrapper(model) else model
