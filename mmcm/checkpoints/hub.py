"""Models of the Hugging Face hub: a folder in the format of diffusers, through the package huggingface_hub."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mmcm.checkpoints.download import offline
from mmcm.checkpoints.formats.diffusers_folder import STEM, weight_names
from mmcm.utils.errors import InputError

HUB_PREFIX = 'hf://'
SETTINGS = ('model_index.json', 'config.json', 'unet/config.json', 'scheduler/scheduler_config.json')


def hub_id(text: str) -> str | None:
    """Return `org/name` or `org/name@revision` if `text` is an id of the hub, with or without hf://; else None."""
    if text.startswith(HUB_PREFIX):
        return text[len(HUB_PREFIX) :]
    match = re.fullmatch(r'(\w[\w.-]*)/\w[\w.-]*(@\S+)?', text)
    # A path to a file, or into an existing folder, is a path. work_dirs is where MMEngine writes: a checkpoint that
    # was not trained yet is not searched on the hub.
    if (
        match is None
        or match[1] == 'work_dirs'
        or Path(match[1]).is_dir()
        or text.lower().endswith(('.pt', '.pth', '.ckpt', '.bin', '.th', '.tar', '.safetensors', '.py', '.npz'))
    ):
        return None
    return text


def hub_folder(identity: str, cache_dir: str | Path | None = None, progress: bool = True) -> Path:
    """Fetch the network and the schedule of a diffusers pipeline from the hub, unless they are cached.

    Of the weights one file is taken: full precision if there is one, safetensors rather than `.bin`.

    Args:
        identity (str): `org/name`, or `org/name@revision` with a branch, tag or commit.
        cache_dir (str | Path, optional): Folder below which `hub/` is the cache; the hub's own cache if not given.
        progress (bool): Whether to show progress on stderr, where that is a terminal.

    Returns:
        Path: The folder of the snapshot.

    Raises:
        InputError: If huggingface_hub is not installed, or the hub does not give such a folder.
    """
    repository, _, revision = identity.partition('@')
    if not re.fullmatch(r'[\w.-]+/[\w.-]+', repository):
        raise InputError(f'{HUB_PREFIX}{identity} is no id of the hub: it takes org/name or org/name@revision')
    try:
        from huggingface_hub import constants, snapshot_download, utils
    except ImportError as error:
        raise InputError(
            f'{identity} is on the Hugging Face hub, and the package that fetches from it is '
            'missing: pip install huggingface_hub'
        ) from error
    cache = Path(cache_dir).expanduser() / 'hub' if cache_dir else Path(constants.HF_HUB_CACHE)
    without_network = offline() or constants.HF_HUB_OFFLINE
    for file, indices, parts in weight_names():
        weights = [f'{place}{name}' for place in ('', 'unet/') for name in (file, *indices, *parts)]
        try:
            with _bars(utils, progress and sys.stderr.isatty()):
                folder = Path(
                    snapshot_download(
                        repository,
                        revision=revision or None,
                        cache_dir=cache,
                        allow_patterns=[*SETTINGS, *weights],
                        local_files_only=without_network,
                    )
                )
        except Exception as error:  # the HTTP library behind it, and so its errors, differs between releases
            raise InputError(
                f'cannot fetch {identity} from the hub: {_reason(error, without_network)}; a copy of its '
                f'folder can be named by its path, and the cache is {cache}'
            ) from error
        if any((folder / place / name).is_file() for place in ('', 'unet') for name in (file, *indices)):
            return folder
    raise InputError(
        f'{identity} is no diffusers pipeline that can be read: the hub has no unet/{STEM}.safetensors (or .bin) in it'
    )


def _reason(error: Exception, without_network: bool) -> str:
    """Say in one line what the hub's error means."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if without_network:
        return 'it is not in the cache, and MMCM_OFFLINE or HF_HUB_OFFLINE is set'
    if 'GatedRepoError' in kinds:
        return 'its owners grant access on request: ask for it there, then log in to the hub'
    if 'RepositoryNotFoundError' in kinds:
        return 'there is no such repository, or it is private and you are not logged in'
    if 'RevisionNotFoundError' in kinds:
        return 'there is no such revision'
    if 'LocalEntryNotFoundError' in kinds or 'ConnectError' in kinds or isinstance(error, ConnectionError):
        cause = error.__cause__ or error
        return f'no connection ({_first_line(cause)}), is this machine offline?'
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip('.')


@contextmanager
def _bars(utils: ModuleType, visible: bool) -> Iterator[None]:
    """Switch off the hub's progress bars unless they are wanted."""
    if visible or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
