"""Settings of a config as a text, and the settings in which two configs differ."""

import math
from collections.abc import Iterator, Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmcm.apis.data.resolve_dataset import named_config
from mmcm.apis.resolve_model import is_weights
from mmcm.checkpoints import holds_run
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder
from mmcm.utils.errors import InputError, cut
from mmcm.utils.nearest import nearest

MAX_WRITTEN = 100_000  # letters of a config that is written out: the formatter takes half a second for 1000
RESERVED = ('filename', 'text', 'env_variables')  # names that MMEngine's Config keeps for itself


class Difference(NamedTuple):
    """A setting in which two configs differ.

    Attributes:
        name (str): Its name with dots, such as model.denoiser.sigma_data.
        left, right (str | None): Its value in the first and in the second config, in Python; None where it is missing.
    """

    name: str
    left: str | None
    right: str | None


def resolved_config(name: str, options: dict | None = None, cache_dir: str | Path | None = None) -> Config:
    """Return all settings that a name means, those of the bases of a config included.

    Args:
        name (str): A config file, the name of one of ours, a model of the zoo, a work directory, a file of weights or a
            diffusers folder. The config of weights is parsed, not run; nothing may be built from it.
        options (dict, optional): Changes, by names with dots.
        cache_dir (str | Path, optional): Where downloads are kept.

    Raises:
        InputError: If there is no such config, or the file holds none.
    """
    if not (is_weights(name) or holds_run(name) or is_diffusers_folder(name)):
        return named_config(name, options)
    file = Checkpoint(name, cache_dir)
    settings = file.config if file.diffusers is not None else file.settings
    if not settings:
        raise InputError(f'{name} holds weights without a config: name the config that they were trained with.')
    check_written(settings, '', name)
    config = Config(settings)
    config.merge_from_dict(options or {})
    return config


def check_written(value: Any, place: str, name: str) -> None:
    """Raise an InputError unless settings of a file can be written as Python: MMEngine writes names as they are."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str) or not key.isidentifier() or iskeyword(key) or (not place and key in RESERVED):
                raise InputError(f'{name}: the config in it has a setting named {cut(repr(key))}, which no config has.')
            check_written(each, f'{place}.{key}', name)
    elif isinstance(value, (list, tuple)):
        for each in value:
            check_written(each, place, name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f'{name}: the config in it has {place[1:]} {value}, which cannot be written as Python.')


def text_of(config: Config, name: str) -> str:
    """Return a config as Python; an InputError if it is so long that its format would take minutes."""
    if len(repr(config.to_dict())) > MAX_WRITTEN:
        raise InputError(
            f'the config of {name} has more than {MAX_WRITTEN:,} letters: look at a setting of it, --get KEY.'
        )
    return config.pretty_text


def differences(left: Config, right: Config) -> list[Difference]:
    """Return the settings in which two configs differ, in the order of the first config, then of the second one."""
    texts = [{name: repr(value) for name, value in leaves(config.to_dict())} for config in (left, right)]
    names = dict.fromkeys([*texts[0], *texts[1]])
    pairs = ((name, texts[0].get(name), texts[1].get(name)) for name in names)
    return [Difference(*each) for each in pairs if each[1] != each[2]]


def setting_of(config: Config, key: str, name: str) -> Any:
    """Return the setting `key`, a name with dots, of the config called `name`; an InputError if there is none."""
    place: Any = config.to_dict()
    for part in key.split('.'):
        if isinstance(place, (list, tuple)) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, Mapping) and part in place:
            place = place[part]
        else:
            known = (
                place
                if isinstance(place, Mapping)
                else map(str, range(len(place) if isinstance(place, (list, tuple)) else 0))
            )
            raise InputError(f'{name} has no setting {key}: there is no {part!r}{nearest(part, known)}.')
    return place


def leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the settings of `value` that are no dictionaries, with names with dots; lists of numbers are settings."""
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from leaves(part, f'{name}.{key}' if name else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
        for index, part in enumerate(value):
            yield from leaves(part, f'{name}.{index}')
    else:
        yield name, value
