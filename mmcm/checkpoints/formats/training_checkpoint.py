"""Names of the weights in a training checkpoint of a ConsistencyModel.

The trained weights are `denoiser.backbone.*`, the averages `emas.<decay>.backbone.*`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcm.checkpoints.formats.foreign_weights import ONLINE, as_number, is_state_dict, unwrapped_names
from mmcm.utils.errors import InputError

TRAINED = 'denoiser.backbone.'
SETTING = re.compile(r'([a-z]+_[a-z]+)_([\d_]*\d(?:e[-+]?\d+)?)')  # of an average that is no constant decay


def average_name(decay: float | Mapping[str, Any]) -> str:
    """Return the name of the average with `decay` among the modules of a model, which may not contain a dot.

    0.999 is `0_999`, and dict(sigma_rel=0.05) is `sigma_rel_0_05`, in whatever order and form settings are given.
    """
    if not isinstance(decay, Mapping):
        return repr(float(decay)).replace('.', '_')
    numbers = {key: repr(float(value)).removesuffix('.0') for key, value in sorted(decay.items()) if value is not None}
    return '_'.join(f'{key}_{number}' for key, number in numbers.items()).replace('.', '_')


def named_average(average: str) -> str:
    """Return the name of the average that a user calls `average`: '0.999', 'sigma_rel=0.05', 'online' or its name."""
    decay = as_number(average)
    if decay is not None:
        return average_name(decay)
    settings = {key: as_number(value) for key, _, value in (part.partition('=') for part in average.split(','))}
    return average if None in settings.values() else average_name(settings)


def average_settings(name: str) -> dict[str, float]:
    """Return the settings in the name of an average, dict(sigma_rel=0.05); none for a constant decay."""
    return {key: float(number.replace('_', '.')) for key, number in SETTING.findall(name)}


def average_label(name: str) -> str:
    """Return what users call the average with the name `name`: '0.999', 'sigma_rel=0.05'."""
    settings = average_settings(name)
    return ','.join(f'{key}={value:.12g}' for key, value in settings.items()) or name.replace('_', '.')


def own_weights(content: Any) -> dict[str, Tensor] | None:
    """Return the weights of a training checkpoint, None if `content` is another kind of checkpoint.

    The names that wrappers put in front (`module.`) and between (`_orig_mod.`) are taken off.
    """
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not is_state_dict(weights):
        return None
    weights = unwrapped_names(weights)
    return weights if any(key.startswith(TRAINED) for key in weights) else None


def kept_averages(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the averages in the weights of a training checkpoint; sampling uses the first."""
    return list(dict.fromkeys(key.split('.')[1] for key in weights if key.startswith('emas.')))


def network_of_training(
    weights: Mapping[str, Tensor], path: str | Path, average: str | None = None
) -> tuple[dict[str, Tensor], str]:
    """Return the weights of one network in a training checkpoint, and the decay of the average or 'online'.

    Args:
        weights (Mapping[str, Tensor]): Of the checkpoint; see `own_weights`.
        path (str | Path): What errors call the checkpoint.
        average (str, optional): The decay, a setting such as 'sigma_rel=0.05', or 'online'; None takes the first
            average, else the online weights.

    Raises:
        InputError: If there is no such average.
    """
    averages = kept_averages(weights)
    name = (averages[0] if averages else ONLINE) if average is None else named_average(average)
    if name != ONLINE and name not in averages:
        choices = [ONLINE, *map(average_label, averages)]
        raise InputError(f'{path} has no average {average!r}; it has {", ".join(choices)}.')
    prefix = TRAINED if name == ONLINE else f'emas.{name}.backbone.'
    found = {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
    return found, average_label(name)
