"""Resolve the name of a checkpoint to a file on this machine."""

import hashlib
import os
import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mmcm.checkpoints.download import digests, download, offline
from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder
from mmcm.checkpoints.hub import HUB_PREFIX, hub_folder, hub_id
from mmcm.checkpoints.work_directory import holds_run, last_checkpoint
from mmcm.renamed import moved_name
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.zoo.catalog import ZooModel, list_models, list_recipes
from mmcm.zoo.config_files import PACKAGE

PACKAGE_PREFIX = 'package:'


def resolve_checkpoint(
    source: str | Path, cache_dir: str | Path | None = None, progress: bool = True, sha256: str | None = None
) -> Path:
    """Return the path of a checkpoint, downloading it if it is not on this machine.

    Downloads are kept in `checkpoints/` below the cache. A file of the zoo has its own name there, a file from another
    address a folder of its own, since files of two addresses may share a name. For a file of the zoo, or with a
    digest, `<base>/<file name>` is tried first for each base address in `$MMCM_MIRRORS`. With `$MMCM_OFFLINE` set,
    nothing is downloaded.

    Args:
        source (str | Path): A file, a work directory of MMEngine (its last checkpoint is meant, see
            `last_checkpoint`), a diffusers folder, an http or https address, the name of a model of the zoo, `package:`
            and a path inside the installed package, or an id of the Hugging Face hub: `org/name`, `hf://org/name` or
            `hf://org/name@revision`.
        cache_dir (str | Path, optional): The cache; `$MMCM_HOME`, else `~/.cache/mmcm`, if not given. For an id of the
            hub, `hub/` in it if given, else the hub's own cache.
        progress (bool): Whether a download shows its progress on stderr.
        sha256 (str, optional): Digest that the file must have, in hexadecimal digits.

    Returns:
        Path: An existing file; of diffusers and of the hub, a folder.

    Raises:
        InputError: If there is no such checkpoint, it cannot be downloaded, or it has another digest.
    """
    text = str(source)
    if text.lower().startswith(('http://', 'https://')):
        return _downloaded_file(text, cache_dir, progress, sha256)
    if text.startswith(HUB_PREFIX):
        path = hub_folder(text[len(HUB_PREFIX) :], cache_dir, progress)
    else:
        path = _named_file(source, cache_dir, progress)
    if sha256 is not None:
        _check_digest(path, sha256)
    return path


def resolve_folder(url: str, names: Sequence[str], cache_dir: str | Path | None = None, progress: bool = True) -> Path:
    """Return a folder with the files `names` of the folder at an http or https address.

    Files that are not in the cache are downloaded; see `resolve_checkpoint`, but for mirrors, which have no folders.

    Raises:
        InputError: If a file cannot be downloaded.
    """
    parts = urlsplit(url)
    folder = cache_folder(cache_dir) / 'autoencoders' / _digest_of(url)
    for name in names:
        address = parts._replace(path=posixpath.join(parts.path, name)).geturl()
        download(address, folder / name, progress=progress)
    return folder


def cached_place(model: ZooModel, cache_dir: str | Path | None = None) -> Path | None:
    """Return where the file of a zoo model is, or will be after its download; None if it has no weights."""
    if model.weights is None:
        return None
    if model.weights.startswith(PACKAGE_PREFIX):
        return PACKAGE / model.weights[len(PACKAGE_PREFIX) :]
    return _zoo_place(model.weights, cache_dir)


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the cache folder: `cache_dir`, else `$MMCM_HOME`, else `~/.cache/mmcm`."""
    return Path(cache_dir or os.environ.get('MMCM_HOME') or '~/.cache/mmcm').expanduser()


def addresses(model: ZooModel) -> list[str]:
    """Return the addresses of a model's file, in the order in which they are tried."""
    if model.weights is None or model.weights.startswith(PACKAGE_PREFIX):
        return []
    return [*_mirrored(model.weights), model.weights, *model.mirrors]


def _named_file(source: str | Path, cache_dir: str | Path | None, progress: bool) -> Path:
    text = str(source)
    if text.startswith(PACKAGE_PREFIX):
        return _packaged_file(text)
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if is_diffusers_folder(path):
        return path
    if holds_run(path):
        found, note = last_checkpoint(path)
        if note:
            print(f'note: {note}', file=sys.stderr)
        return found
    models = {model.name: model for model in list_models()}
    if text in models:
        return _zoo_file(models[text], cache_dir, progress)
    if path.is_dir():
        on_disk = (
            'a folder with neither a checkpoint of a run (last_checkpoint, iter_*.pth) nor a '
            'model_index.json of diffusers'
        )
    else:
        on_disk = 'no file or folder of that name'
    if any(text == recipe.name for recipe in list_recipes()):
        raise InputError(f'{text} is a recipe, of which no weights are released: train it with mmcm train {text}.')
    refused = f'no checkpoint {text!r}: {on_disk}, and no model of the zoo{nearest(text, models)}; mmcm zoo lists all'
    identity = None if path.is_dir() else hub_id(text)
    if identity is None:
        raise InputError(refused)
    try:
        return hub_folder(identity, cache_dir, progress)
    except InputError as error:
        raise InputError(f'{refused}; {error}') from error


def _zoo_file(model: ZooModel, cache_dir: str | Path | None, progress: bool) -> Path:
    if model.weights is None:
        raise InputError(f'{model.name} comes without weights: train it with {model.config}')
    if model.weights.startswith(PACKAGE_PREFIX):
        return _packaged_file(model.weights)
    return _downloaded_file(model.weights, cache_dir, progress)


def _packaged_file(reference: str) -> Path:
    path = PACKAGE / reference[len(PACKAGE_PREFIX) :]
    if not path.is_file():
        raise InputError(f'no file {reference!r} in the installed package, looked for {path}')
    return path


def _downloaded_file(url: str, cache_dir: str | Path | None, progress: bool, sha256: str | None = None) -> Path:
    model = next((model for model in list_models() if model.weights == url), None)
    if model is not None:
        sha256, place = sha256 or model.sha256, _zoo_place(url, cache_dir)
        if model.is_non_commercial and not place.is_file() and not offline():
            print(f'note: {model.name} is licensed under {model.license}: no commercial use', file=sys.stderr)
        return download(addresses(model), place, sha256=sha256, progress=progress)
    folder = cache_folder(cache_dir) / 'checkpoints' / _digest_of(url)
    # A file of the same name on a mirror may be another one, unless a digest tells.
    urls = [*(_mirrored(url) if sha256 else ()), url]
    return download(urls, folder / _file_name(url), sha256=sha256, progress=progress)


def _digest_of(url: str) -> str:
    """Return the name of the folder of an address, since files of two addresses may share a name."""
    return hashlib.sha256(url.encode(errors='surrogateescape')).hexdigest()[:8]


def _zoo_place(url: str, cache_dir: str | Path | None) -> Path:
    return cache_folder(cache_dir) / 'checkpoints' / _file_name(url)


def _mirrored(url: str) -> list[str]:
    bases = os.environ.get('MMCM_MIRRORS', '').replace(',', ' ').split()
    return [f'{base.rstrip("/")}/{_file_name(url)}' for base in bases]


def _file_name(url: str) -> str:
    name = posixpath.basename(urlsplit(url).path)
    if name in ('', '.', '..'):
        raise InputError(f'{url} names no file: its last part has to be the name of a checkpoint')
    return name


def _check_digest(path: Path, sha256: str) -> None:
    if path.is_dir():
        raise InputError(f'{path.absolute()} is a folder, and a SHA-256 is the digest of one file: leave it out')
    found = digests(path)[1]
    if found != sha256.lower():
        raise InputError(
            f'{path.absolute()}: its SHA-256 is {found}, expected {sha256.lower()}; name another file, or its digest'
        )


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
