"""What networks ask of their training: forced weight normalisation, and a head that only some objectives read.

A network has the methods that it needs, at any depth of the denoiser: `normalize_weights` and `train_log_variance`, as
EDM2UNet (Karras et al., 2024, arXiv 2312.02696).
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from mmcm.denoisers import Denoiser
from mmcm.objectives.base import Objective
from mmcm.utils.errors import InputError


def needs_normalized_weights(module: nn.Module) -> bool:
    """Return whether a network in `module` has its weights normalised before each training step."""
    return bool(_methods(module, 'normalize_weights'))


def normalize_weights(denoiser: nn.Module) -> None:
    """Normalise the trained weights of the networks in `denoiser` that ask for it, in place.

    Once before the passes of a training step, so that student, target and tangent see the same weights.
    """
    for normalize in _methods(denoiser, 'normalize_weights'):
        normalize()


def set_log_variance(denoiser: Denoiser, objective: Objective | None) -> None:
    """Freeze u(sigma) of the networks in `denoiser`, unless `objective` reads it: DDP wants a gradient of each weight.

    Raises:
        InputError: If the objective reads it, and the denoiser has none.
    """
    is_read = objective is not None and objective.needs_log_variance
    if is_read and not getattr(denoiser, 'has_log_variance', False):
        raise InputError(
            'model.objective.uncertainty weights the loss by a variance that the network learns, and a '
            f'{type(denoiser.backbone).__name__} in a {type(denoiser).__name__} has none: set '
            "model.denoiser.type='KarrasDenoiser' and its backbone.type='EDM2UNet', or uncertainty=False."
        )
    for train in _methods(denoiser, 'train_log_variance'):
        train(is_read)


def _methods(module: nn.Module, name: str) -> list[Callable[..., Any]]:
    return [getattr(each, name) for each in module.modules() if hasattr(each, name)]
