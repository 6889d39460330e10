"""`_base_ = 'mmcm::digits/ct_1xb32_digits-8x8.py'`: configs that inherit from ours, wherever they lie.

MMEngine looks for such bases in the metadata of installed packages (by `pkg_resources`, which setuptools has no longer)
and in `.mim`, which only wheels have. Importing this module, as `mmcm.registry` does, makes it ask the zoo where our
configs are.
"""

from typing import Any

from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import replace_base_finder
from mmcm.zoo.config_files import own_config, root

SCOPE = 'mmcm'
PREFIX = f'{SCOPE}::'


def base_path(base: str, filename: str) -> tuple[str, str | None]:
    """Return the path of a base config and its scope, in place of MMEngine's own function.

    Args:
        base (str): What a config calls its base: 'mmcm::' and a path below our `configs`, or the name of one of them;
            anything else is MMEngine's.
        filename (str): The config that has this base.

    Raises:
        InputError: If there is no such config of ours.
    """
    if not base.startswith(PREFIX):
        return _mmengine_base_path(base, filename)
    name = base[len(PREFIX) :]
    for path in (root() / 'configs' / name, root() / 'configs' / f'{name}.py'):
        if path.is_file():
            return str(path), SCOPE
    try:
        return str(own_config(name.split('/')[-1])), SCOPE
    except InputError as error:
        raise InputError(f'_base_ {base!r}: {error}') from error


def drop_own_scope(config: Any) -> None:
    """Remove the `_scope_` that MMEngine puts into parts of such bases, from a config whose scope is ours anyway."""
    if isinstance(config, dict):
        if config.get('_scope_') == SCOPE:
            config.pop('_scope_')
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            drop_own_scope(part)


_mmengine_base_path = replace_base_finder(base_path)
