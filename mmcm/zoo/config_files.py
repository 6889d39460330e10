"""Find the configs that come with mmcm."""

from pathlib import Path

from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

INDEX = 'model-index.yml'
PACKAGE = Path(__file__).resolve().parents[1]


def root() -> Path:
    """Find the folder that holds `configs/` and `model-index.yml`.

    Returns:
        Path: The repository's root in a checkout or an editable install, `mmcm/.mim` in a wheel.

    Raises:
        InputError: If the installation has neither.
    """
    candidates = (PACKAGE.parent, PACKAGE / '.mim')
    for folder in candidates:
        if (folder / INDEX).is_file() and (folder / 'configs').is_dir():
            return folder
    raise InputError(
        f'no {INDEX} with configs/ beside it in {candidates[0]} or {candidates[1]}: the installation of '
        'mmcm is not complete, install it again'
    )


def find_config(name_or_path: str | Path) -> Path:
    """Find a config file.

    Args:
        name_or_path (str | Path): A path, from the working directory or from `root()`, or the base name of one of our
            configs, with or without `.py`.

    Returns:
        Path: The file.

    Raises:
        InputError: If there is no such config, or more than one; the message gives the nearest names.
    """
    path = Path(name_or_path).expanduser()
    for candidate in (path, root() / path):
        if candidate.is_file():
            return candidate
    return own_config(str(name_or_path))


def own_config(name: str) -> Path:
    """Find one of our configs by its base name, with or without `.py`, whatever lies in the working directory.

    Raises:
        InputError: If there is no such config, or more than one; the message gives the nearest names.
    """
    configs = list_configs(former_names=True)
    wanted = Path(name).name.removesuffix('.py')
    matches = [file for file in configs if file.stem == wanted] if len(Path(name).parts) == 1 else []
    if not matches:
        raise InputError(
            f'no config {name!r}: neither a file nor a name below {root() / "configs"}'
            f'{nearest(wanted, {file.stem for file in list_configs()})}'
        )
    if len(matches) > 1:
        raise InputError(
            f'{name!r} names more than one config, give the path: '
            f'{", ".join(str(file.relative_to(root())) for file in matches)}'
        )
    return matches[0]


def list_configs(former_names: bool = False) -> list[Path]:
    """List the configs that come with mmcm and can be asked for by their base names.

    Args:
        former_names (bool): Whether to list the former names of configs, too: files that only name the new one.
    """
    files = [file for file in sorted((root() / 'configs').rglob('*.py')) if '_base_' not in file.parts]
    return [file for file in files if former_names or not file.read_text('utf-8').startswith('_deprecation_')]
