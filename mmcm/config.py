"""Reading config files."""

from copy import deepcopy
from functools import cache
from pathlib import Path

from mmengine.config import Config

from mmcm.checkpoints.formats.mmagic_config import translate_config
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import content
from mmcm.zoo import ZooModel, find_config, lookup
from mmcm.zoo.external_bases import SCOPE, drop_own_scope

SUFFIXES = ('.py', '.yaml', '.yml', '.json')  # that MMEngine reads


def read_config(name: str | Path, options: dict | None = None) -> Config:
    """Read a config file, given by its path or by its name among those that come with mmcm, changed by `options`.

    One that was written for MMagic's own implementation is translated.

    Raises:
        InputError: If there is no such file, or it is no config.
    """
    try:
        path = find_config(str(name))
    except InputError as error:
        model = lookup(name)
        if model is None or model.name != str(name):
            raise
        raise InputError(
            f'{name} is a model of the zoo, and a config is needed: its config is {Path(model.config).stem}.'
        ) from error
    if path.suffix not in SUFFIXES:
        raise InputError(f'{path} cannot be read as a config: its name has to end in {", ".join(SUFFIXES)}.')
    try:
        config = Config.fromfile(path)
        if config.get('default_scope') == SCOPE:
            drop_own_scope(content(config))
        if options:
            if any(key.startswith('model.init_from.') for key in options):
                _name_start(config)
            config.merge_from_dict(options)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    except Exception as error:  # reading a config runs it: whatever it raises is the fault of the file
        raise InputError(
            f'{path} cannot be read as a config: {type(error).__name__}: {error}. A config only has '
            'settings in it, such as model = dict(...).'
        ) from error
    return translated(config)


def _name_start(config: Config) -> None:
    """Write a name as `model.init_from` as a dict, to which options such as `partial` can be added."""
    model = config.get('model') or {}
    if isinstance(model.get('init_from'), str):
        model['init_from'] = dict(checkpoint=model['init_from'])


def released_config(model: ZooModel) -> Config:
    """Return the config of a model of the zoo, a copy for the caller to change. Its file is read once per process."""
    return deepcopy(_released_config(model.config_file))


@cache
def _released_config(path: Path) -> Config:
    return read_config(path)


def translated(config: Config) -> Config:
    """Return a config of MMagic's own implementation as one of ours, any other as it is; see `translate_config`."""
    settings = config.to_dict()
    ours = translate_config(settings)
    return config if ours is settings else Config(ours, filename=config.filename)
