"""From a checkpoint to the weights of a denoiser: the one way in for all that draws, distils or converts.

The weights of two denoisers may have the same names and shapes, since the network is the same: only what the checkpoint
says of itself tells a consistency model from a diffusion model.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from mmcm.checkpoints import cached_file, config_text, parse_config
from mmcm.checkpoints.file_kinds import is_safetensors, is_zip
from mmcm.checkpoints.formats.diffusers_folder import read_config as read_diffusers_config
from mmcm.checkpoints.weight_checks import check_weights
from mmcm.checkpoints.weights import assign_weights, chosen_weights, read_content
from mmcm.config import read_config
from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.zoo import list_models

SETTINGS = {
    KarrasDenoiser: ('boundary', 'sigma_data', 'c_noise'),
    TrigFlowDenoiser: ('time_scale', 'sigma_data', 'c_noise'),
}


def load_denoiser(
    denoiser: Denoiser,
    source: str | Path,
    average: str | None = None,
    cache_dir: str | Path | None = None,
    any_kind: bool = False,
) -> None:
    """Load the weights of a checkpoint into the network of `denoiser`.

    Args:
        denoiser (Denoiser): The denoiser.
        source (str | Path): Anything that `mmcm.checkpoints.cached_file` finds.
        average (str, optional): Which weights of it; see `read_backbone`.
        cache_dir (str | Path, optional): Where downloads are kept.
        any_kind (bool): Whether the checkpoint may be of a denoiser of another kind, as training may start from one.

    Raises:
        InputError: If there is no such checkpoint, it is of another kind of denoiser or of another network, or has
            values that are not finite.
    """
    path = cached_file(source, cache_dir)
    weights, used = chosen_weights(read_content(path), path, average, denoiser.backbone)
    check_weights(denoiser.backbone, weights, path if used is None else f'{path} ({used})')
    if not any_kind:
        check_kind(denoiser, path, source)
    assign_weights(denoiser.backbone, weights)


def check_kind(denoiser: nn.Module, path: Path, source: str | Path | None = None) -> None:
    """Raise an InputError if what a checkpoint says of itself is another kind of denoiser than `denoiser`.

    The weights would fit, since the network is the same, and draw poorly.

    Args:
        denoiser (nn.Module): The denoiser.
        path (Path): The checkpoint.
        source (str | Path, optional): What the user calls it, which may be the name of a model of the zoo.
    """
    own = settings_of_checkpoint(path, path if source is None else source)
    if own is None or 'type' not in own:
        return
    theirs, ours = described(own), settings_of(denoiser)
    if compared(theirs) == compared(ours):
        return
    key = next(key for key in (*theirs, *ours) if theirs.get(key) != ours.get(key))
    raise InputError(
        f'{path} was trained with model.denoiser.{key}={theirs.get(key)!r}, and the config has '
        f'{ours.get(key)!r}: choose the config that belongs to the checkpoint.'
    )


def settings_of_checkpoint(path: Path, source: str | Path) -> dict[str, Any] | None:
    """Return the config of the denoiser that a checkpoint is of, None if nothing says it."""
    entry = next((entry for entry in list_models() if str(source) in (entry.name, entry.weights)), None)
    try:
        if entry is not None:
            config = read_config(entry.config_file).to_dict()
        elif path.is_file():
            # The older format of torch.save holds no config of ours, and would be read whole for it.
            config = parse_config(config_text(path)) if is_zip(path) or is_safetensors(path) else {}
        else:  # of a network alone nothing says it
            config = read_diffusers_config(path) if (path / 'model_index.json').is_file() else {}
    except InputError:  # nothing is built from it here, so it is only of no use; the reader of the weights says more
        return None
    model = config.get('model')
    own = model.get('denoiser') if isinstance(model, dict) else None
    return own if isinstance(own, dict) else None


def settings_of(denoiser: nn.Module) -> dict[str, Any]:
    """Return the kind of a denoiser, as its config says it."""
    names = [name for name, kind in MODELS.module_dict.items() if kind is type(denoiser)]
    settings: dict[str, Any] = dict(type=names[0] if names else type(denoiser).__name__)
    if isinstance(denoiser, KarrasDenoiser):
        settings.update(boundary=denoiser.offset > 0, sigma_data=denoiser.sigma_data, c_noise=denoiser.c_noise)
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
