"""From a checkpoint to the weights of a denoiser: the one way in for sampling, distillation and conversion.

The weights of two denoisers may have the same names and shapes, since the network is the same: only what the checkpoint
says of itself tells a consistency model from a diffusion model.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.weights import assign_weights, check_weights
from mmcm.config import released_config
from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.flow_map import FlowMapDenoiser
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser
from mmcm.denoisers.truncated import TruncatedDenoiser
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.zoo import lookup

SETTINGS: dict[type | None, tuple[str, ...]] = {
    FlowMapDenoiser: ('time_scale', 'guided', 'velocity_head', 'prediction', 'noise_scale'),
    KarrasDenoiser: ('boundary', 'sigma_data', 'c_noise'),
    TrigFlowDenoiser: ('time_scale', 'sigma_data', 'c_noise'),
    TruncatedDenoiser: ('transition', 'sigma_data', 'c_noise'),
}


def load_denoiser(
    denoiser: Denoiser,
    source: str | Path | Checkpoint,
    average: str | None = None,
    cache_dir: str | Path | None = None,
    any_kind: bool = False,
    dtype: torch.dtype = torch.float32,
) -> str | None:
    """Load the weights of a checkpoint into the network of `denoiser`.

    Args:
        denoiser (Denoiser): The denoiser.
        source (str | Path | Checkpoint): A checkpoint, or what names one; see `resolve_checkpoint`.
        average (str, optional): Which weights of it; see `chosen_weights`.
        cache_dir (str | Path, optional): Where downloads are kept.
        any_kind (bool): Whether the checkpoint may be of a denoiser of another kind, as training may start from one.
        dtype (torch.dtype): Precision of the weights if the network is on the meta device; else it keeps its own.

    Returns:
        str | None: Which weights were loaded: the decay of an average, 'online', or a key; None where there was no
        choice.

    Raises:
        InputError: If there is no such checkpoint, it is of another kind of denoiser or of another network, or has
            values that are not finite.
    """
    checkpoint, backbone = Checkpoint.open(source, cache_dir), denoiser.get_submodule('backbone')
    weights, used = checkpoint.weights(average, backbone)
    check_weights(backbone, weights, checkpoint.path if used is None else f'{checkpoint.path} ({used})')
    if not any_kind:
        check_kind(denoiser, checkpoint)
    assign_weights(backbone, weights, dtype)
    return used


def load_first_stage(denoiser: TruncatedDenoiser, source: str | Path | Checkpoint, average: str | None = None) -> None:
    """Load the weights of a checkpoint into both networks of `denoiser`; see `load_denoiser`."""
    checkpoint, network = Checkpoint.open(source), denoiser.backbone.lower
    weights, used = checkpoint.weights(average, network)
    check_weights(network, weights, checkpoint.path if used is None else f'{checkpoint.path} ({used})')
    assign_weights(network, weights)
    denoiser.backbone.start()


def check_kind(denoiser: nn.Module, checkpoint: Checkpoint) -> None:
    """Raise an InputError if a checkpoint says that its weights are of another kind of denoiser than `denoiser`.

    The weights would fit, since the network is the same, and sample poorly.
    """
    own = trained_denoiser(checkpoint)
    if own is None or 'type' not in own:
        return
    theirs, ours = described(own), settings_of(denoiser)
    if getattr(denoiser.backbone, 'drops_head', False):  # its weights fit with and without
        theirs.pop('velocity_head', None)
        ours.pop('velocity_head', None)
    if compared(theirs) == compared(ours):
        return
    key = next(key for key in (*theirs, *ours) if theirs.get(key) != ours.get(key))
    raise InputError(
        f'{checkpoint.path} was trained with model.denoiser.{key}={theirs.get(key)!r}, and the config has '
        f'{ours.get(key)!r}: choose the config that belongs to the checkpoint.'
    )


def trained_denoiser(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """Return the config of the denoiser that a checkpoint was trained with, None if nothing says it."""
    released = lookup(str(checkpoint))
    return checkpoint.denoiser if released is None else released_config(released).model.denoiser


def settings_of(denoiser: nn.Module) -> dict[str, Any]:
    """Return the kind of a denoiser, as its config says it."""
    names = [name for name, kind in MODELS.module_dict.items() if kind is type(denoiser)]
    settings: dict[str, Any] = dict(type=names[0] if names else type(denoiser).__name__)
    if isinstance(denoiser, TruncatedDenoiser):
        settings.update({key: getattr(denoiser, key) for key in SETTINGS[TruncatedDenoiser]})
    elif isinstance(denoiser, KarrasDenoiser):
        settings.update(boundary=denoiser.offset > 0, sigma_data=denoiser.sigma_data, c_noise=denoiser.c_noise)
    elif isinstance(denoiser, FlowMapDenoiser):
        settings.update({key: getattr(denoiser, key) for key in SETTINGS[FlowMapDenoiser]})
    elif isinstance(denoiser, TrigFlowDenoiser):
        settings.update(time_scale=denoiser.time_scale, sigma_data=denoiser.sigma_data, c_noise=denoiser.c_noise)
    return settings


def described(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kind that the config of a denoiser describes, with the defaults of its class."""
    name = str(config['type']).split('.')[-1]
    kind = MODELS.module_dict.get(name)
    settings: dict[str, Any] = dict(type=name)
    for key in SETTINGS.get(kind, ()):
        settings[key] = config.get(key, inspect.signature(kind).parameters[key].default)
    return settings


def compared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which denoisers are equal that compute the same: TrigFlow's is EDM's without a time scale."""
    if settings['type'] != TrigFlowDenoiser.__name__:
        return dict(settings)
    if settings.get('time_scale') is None:
        kept = {key: settings.get(key) for key in ('sigma_data', 'c_noise')}
        return dict(type=KarrasDenoiser.__name__, boundary=False, **kept)
    return {key: value for key, value in settings.items() if key != 'c_noise'}
