"""From what a user calls a model to its config, its checkpoint, and where and how it is to run."""

import os
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mmcm.checkpoints import cached_file, embedded_config, holds_run
from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder
from mmcm.checkpoints.formats.diffusers_folder import read_config as read_diffusers_config
from mmcm.checkpoints.hub import hub_id
from mmcm.checkpoints.weights import check_holds_weights
from mmcm.config import SUFFIXES as CONFIG_SUFFIXES
from mmcm.config import read_config, translated
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.zoo import list_models, released_sampler

WEIGHTS = ('.safetensors', '.pt', '.pth', '.pkl', '.ckpt', '.bin', '.th')  # suffixes of files of weights
ADDRESS = ('http://', 'https://')


def find_model(model: str | Path | Config, checkpoint: str | None, cache_dir: str | Path | None) -> tuple[Config, str]:
    """Return the config that `model` means, and the checkpoint that goes with it."""
    if isinstance(model, dict):
        model = Config(model)
    if not isinstance(model, (str, Path, Config)):
        raise InputError(f'model has to be a name, a path or a config, got {model!r}.')
    if not isinstance(model, Config):
        model = Path(model).expanduser() if str(model).startswith('~') else model
    models = {entry.name: entry for entry in list_models()}
    if isinstance(model, Config):
        config = translated(model)
    elif str(model) in models:
        config, checkpoint = read_config(models[str(model)].config_file), checkpoint or str(model)
    elif is_diffusers_folder(model) or hub_id(str(model)) is not None:
        folder = cached_file(model, cache_dir)
        config, checkpoint = Config(read_diffusers_config(folder)), checkpoint or str(folder)
    elif is_weights(model) or holds_run(model):
        path = cached_file(model, cache_dir)
        values = embedded_config(path, model)
        if not values:
            check_holds_weights(path)
            raise InputError(
                f'{model} holds weights and does not say what network they are of: name its config, and '
                f'the file as the checkpoint (--model CONFIG --checkpoint {model}).'
            )
        config, checkpoint = Config(values), checkpoint or str(model)
    elif Path(model).is_dir():
        raise InputError(
            f'the folder {model} holds no model: neither one of diffusers (model_index.json) nor a run '
            '(last_checkpoint).'
        )
    else:
        try:
            config = read_config(model)
        except InputError as error:
            if Path(model).suffix == '.py':
                raise
            raise InputError(f'{error}; and no model of the zoo{nearest(str(model), models)}') from error
    checkpoint = checkpoint or config.get('checkpoint')
    if checkpoint is None:
        raise InputError(f'{model} names no checkpoint: give one, a path, URL, work directory or zoo name.')
    if config.get('model', {}).get('type') not in ('ConsistencyModel', 'mmcm.ConsistencyModel'):
        raise InputError(f'{model} is not the config of a ConsistencyModel.')
    return config, str(checkpoint)


def is_weights(model: str | Path) -> bool:
    """Return whether a name means a file of weights: one that is there and no config, or a name as such files have."""
    suffix = Path(model).suffix.lower()
    if suffix in CONFIG_SUFFIXES:
        return False
    return suffix in WEIGHTS or str(model).lower().startswith(ADDRESS) or os.path.isfile(model)


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
            ('num_steps', ('sigmas',)),
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


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Return the precision that `dtype` names; an InputError if a network cannot compute in it."""
    known = dict(float32=torch.float32, float16=torch.float16, bfloat16=torch.bfloat16)
    found = known.get(str(dtype).removeprefix('torch.'))
    if found is None:
        raise InputError(f'dtype has to be {", ".join(known)}, got {dtype!r}.')
    return found
