"""From what a user calls a checkpoint to a file on this machine."""
import hashlib
import os
import posixpath
from pathlib import Path
from typing import Optional, Union
from urllib.parse import urlsplit

from mmcm.utils.errors import InputError
from mmcm.zoo.catalog import PACKAGE, ZooModel, list_models, nearest
from mmcm.zoo.download import digests, download

PACKAGE_PREFIX = 'package:'


def cached_file(source: Union[str, Path],
                cache_dir: Union[str, Path, None] = None,
                progress: bool = True,
                sha256: Optional[str] = None) -> Path:
    """Find a checkpoint, and download it where it has to come from elsewhere.

    What is downloaded stays in `checkpoints/` below the cache: under its own name where it is of the zoo, in a folder
    of its own where it is from any other address, since files of two addresses may share a name.

    Args:
        source (str | Path): A file, a work directory of MMEngine (its last checkpoint is meant), an http or https
            address, the name of a model of the zoo, or `package:` and a path inside the installed package.
        cache_dir (str | Path, optional): The cache; `$MMCM_HOME`, else `~/.cache/mmcm`, if not given.
        progress (bool): Whether a download shows its progress on stderr.
        sha256 (str, optional): Digest that the file must have, in hexadecimal digits.

    Returns:
        Path: An existing file.

    Raises:
        InputError: If there is no such checkpoint, it cannot be downloaded, or it has another digest.
    """
    text = str(source)
    if text.lower().startswith(('http://', 'https://')):
        return _downloaded_file(text, cache_dir, progress, sha256)
    path = _named_file(source, cache_dir, progress)
    if sha256 is not None:
        _check_digest(path, sha256)
    return path


def _named_file(source: Union[str, Path], cache_dir: Union[str, Path, None], progress: bool) -> Path:
    text = str(source)
    if text.startswith(PACKAGE_PREFIX):
        return _packaged_file(text)
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if (path / 'last_checkpoint').is_file():
        return _last_checkpoint(path)
    models = {model.name: model for model in list_models()}
    if text in models:
        return _zoo_file(models[text], cache_dir, progress)
    on_disk = 'a folder without a last_checkpoint file' if path.is_dir() else 'no file or folder of that name'
    raise InputError(f'no checkpoint {text!r}: {on_disk}, and no model of the zoo{nearest(text, models)}; '
                     'mmcm.zoo.list_models() lists all')


def _zoo_file(model: ZooModel, cache_dir: Union[str, Path, None], progress: bool) -> Path:
    if model.weights is None:
        raise InputError(f'{model.name} comes without weights: train it with {model.config}')
    if model.weights.startswith(PACKAGE_PREFIX):
        return _packaged_file(model.weights)
    return _downloaded_file(model.weights, cache_dir, progress)


def _packaged_file(reference: str) -> Path:
    path = PACKAGE / reference[len(PACKAGE_PREFIX):]
    if not path.is_file():
        raise InputError(f'no file {reference!r} in the installed package, looked for {path}')
    return path


def _downloaded_file(url: str,
                     cache_dir: Union[str, Path, None],
                     progress: bool,
                     sha256: Optional[str] = None) -> Path:
    name = posixpath.basename(urlsplit(url).path)
    if name in ('', '.', '..'):
        raise InputError(f'{url} names no file: its last part has to be the name of a checkpoint')
    released = _released(url)
    folder = _cache_folder(cache_dir) / 'checkpoints'
    if released is None:
        folder /= hashlib.sha256(url.encode()).hexdigest()[:8]
    return download(url, folder / name, sha256=sha256 or (released and released.sha256), progress=progress)


def _check_digest(path: Path, sha256: str) -> None:
    found = digests(path)[1]
    if found != sha256.lower():
        raise InputError(f'{path.absolute()}: its SHA-256 is {found}, expected {sha256.lower()}; name another file, or '
                         'its digest')


def _released(url: str) -> Optional[ZooModel]:
    return next((model for model in list_models() if model.weights == url), None)


def _cache_folder(cache_dir: Union[str, Path, None]) -> Path:
    return Path(cache_dir or os.environ.get('MMCM_HOME') or '~/.cache/mmcm').expanduser()


def _last_checkpoint(work_dir: Path) -> Path:
    named = Path((work_dir / 'last_checkpoint').read_text(encoding='utf-8').strip())
    # The file records where the checkpoint was at training time. In a folder that was copied since, its own one counts.
    for path in (work_dir / named.name, named):
        if path.is_file():
            return path
    raise InputError(f'{work_dir / "last_checkpoint"} names {str(named)!r}, which is neither there nor in {work_dir}')
