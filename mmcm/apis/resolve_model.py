"""From the name of a model to its config, its checkpoint, its sampler, device and precision."""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config

from mmcm.apis.recognised import recognised_config
from mmcm.checkpoints import holds_run, resolve_checkpoint
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder
from mmcm.checkpoints.hub import hub_id
from mmcm.config import SUFFIXES as CONFIG_SUFFIXES
from mmcm.config import read_config, released_config, translated
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.zoo import list_models, lookup, released_sampler

WEIGHTS = ('.safetensors', '.pt', '.pth', '.pkl', '.ckpt', '.bin', '.th')  # suffixes of files of weights
ADDRESS = ('http://', 'https://')


class ResolvedModel(NamedTuple):
    """The config that a name means, and the checkpoint that goes with it."""

    config: Config
    checkpoint: Checkpoint


def resolve_model(
    model: str | Path | Config, checkpoint: str | None = None, cache_dir: str | Path | None = None
) -> ResolvedModel:
    """Return the config and the checkpoint that `model` means; see `ConsistencyModelInferencer`.

    Args:
        model (str | Path | Config): A name, a path or a config.
        checkpoint (str, optional): Another checkpoint than the one of `model`.
        cache_dir (str | Path, optional): Where downloads are kept.

    Raises:
        InputError: If there is no such model, or no checkpoint is named.
    """
    config, own = config_and_checkpoint(model, cache_dir)
    found = checkpoint or own or config.get('checkpoint')
    if found is None:
        raise InputError(f'{model} names no checkpoint: give one, a path, URL, work directory or zoo name.')
    if config.get('model', {}).get('type') not in ('ConsistencyModel', 'mmcm.ConsistencyModel'):
        raise InputError(f'{model} is not the config of a ConsistencyModel.')
    return ResolvedModel(config, found if isinstance(found, Checkpoint) else Checkpoint(str(found), cache_dir))


def find_model(model: str | Path | Config, checkpoint: str | None, cache_dir: str | Path | None) -> tuple[Config, str]:
    """Return the config and the name of the checkpoint that `model` means: the former `resolve_model`."""
    warnings.warn('find_model is resolve_model now.', DeprecationWarning, stacklevel=2)
    config, found = resolve_model(model, checkpoint, cache_dir)
    return config, str(found)


def config_and_checkpoint(model: str | Path | Config, cache_dir: str | Path | None) -> tuple[Config, Checkpoint | None]:
    """Return the config that `model` means, and its checkpoint; None for a config, which may name one itself."""
    if isinstance(model, (dict, Config)):
        return translated(model if isinstance(model, Config) else Config(model)), None
    if not isinstance(model, (str, Path)):
        raise InputError(f'model has to be a name, a path or a config, got {model!r}.')
    model = Path(model).expanduser() if str(model).startswith('~') else model
    released = lookup(model)
    if released is not None and released.name == str(model):
        return released_config(released), Checkpoint(released.name, cache_dir)
    if is_diffusers_folder(model) or hub_id(str(model)) is not None:
        file = Checkpoint(resolve_checkpoint(model, cache_dir))  # which is named by its folder
        return Config(file.config), file
    if is_weights(model) or holds_run(model):
        file = Checkpoint(model, cache_dir)
        if not file.config:
            file.check_holds_weights()
            recognised = recognised_config(file)
            if recognised is not None:
                return recognised, file
            raise InputError(
                f'{model} holds weights and does not say what network they are of: name its config, and '
                f'the file as the checkpoint (--model CONFIG --checkpoint {model}).'
            )
        return Config(file.config), file
    if Path(model).is_dir():
        raise InputError(
            f'the folder {model} holds no model: neither one of diffusers (model_index.json) nor a run '
            '(last_checkpoint).'
        )
    try:
        return read_config(model), None
    except InputError as error:
        if Path(model).suffix == '.py':
            raise
        names = [entry.name for entry in list_models()]
        raise InputError(f'{error}; and no model of the zoo{nearest(str(model), names)}') from error


def is_weights(model: str | Path) -> bool:
    """Return whether a name means a file of weights: an existing file that is no config, or a name of that form."""
    suffix = Path(model).suffix.lower()
    if suffix in CONFIG_SUFFIXES:
        return False
    is_file = os.path.isfile(model)  # noqa: PTH113 (False, too, for what cannot be a path)
    return is_file or suffix in WEIGHTS or str(model).lower().startswith(ADDRESS)


def sampler_config(config: dict | None, checkpoint: str, changes: dict | None = None) -> dict:
    """Return the sampler to use: the config's with the schedule of the checkpoint, and the caller's changes."""
    if not isinstance(changes or {}, dict):
        raise InputError(
            f"sampler has to be a config, such as dict(type='HeunSampler', num_steps=18), got {changes!r}."
        )
    config = dict(config or {})
    released = released_sampler(checkpoint)
    if released and config.get('type') == 'MultistepSampler':
        config['num_scales'] = released['num_scales']
        if np.size(config.get('indices', ())) > 1:  # the config has those of the checkpoint that it was written for
            config['indices'] = released['indices']
    if changes:
        if 'type' in changes:
            return dict(changes)
        for given, replaced in (
            ('sigmas', ('indices', 'num_scales', 'num_steps')),
            ('indices', ('sigmas',)),
            ('num_steps', ('sigmas', 'times')),
            ('times', ('num_steps',)),
        ):
            if given in changes:
                config = {key: value for key, value in config.items() if key not in replaced}
        return {**config, **changes}
    return config


def pick_device(name: str | None) -> torch.device:
    """Return the device `name`, or the best one present; an InputError if it is not there."""
    if name is None:
        name = 'cuda' if torch.cuda.is_available() else 'mps' if torch.backends.mps.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f'there is no device {name!r}: try cpu, cuda or cuda:1.') from error
    present = dict(cpu=1, cuda=torch.cuda.device_count(), mps=int(torch.backends.mps.is_available())).get(
        device.type, 0
    )
    if (device.index or 0) >= present:
        raise InputError(f'device {name} is not present on this machine. Leave the device out to take the best one.')
    return device


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """Return the precision that `dtype` names, None for 'auto'; an InputError if a network cannot compute in it."""
    if dtype == 'auto':
        return None
    known = dict(float32=torch.float32, float16=torch.float16, bfloat16=torch.bfloat16)
    found = known.get(str(dtype).removeprefix('torch.'))
    if found is None:
        raise InputError(f'dtype has to be auto, {", ".join(known)}, got {dtype!r}.')
    return found
