"""Outputs of commands: checked and locked before any work is done.

An existing file is replaced only with `--force`; two commands never write to one path at once; a name that no file can
have, a folder that cannot be written to, and an output that is an input are refused.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmcm.utils.errors import InputError, cut
from mmcm.utils.files import make_folder
from mmcm.utils.locks import is_first_process, locked

# Bytes that names of locks and unfinished files add to the name of the output. The longest is the temporary file of a
# pack's journal: `..NAME.unfinished.json.0123456789ab.part`.
ADDED_TO_NAME = 36
ADDED_TO_PATH = 100  # for names inside folders, such as /00000/img00000000.png
NAME_BYTES, PATH_BYTES = 255, 4096  # if the system has no `pathconf`
Paths = str | Path | Sequence[str | Path] | None


@contextmanager
def claimed(
    outs: Mapping[str, Paths],
    force: bool = False,
    inputs: Mapping[str, Paths] | None = None,
    folders: bool = False,
    inside: Sequence[str] | None = None,
) -> Iterator[None]:
    """Check that outputs may be written, make their folders, and lock them against other processes.

    New folders that are still empty after the block are removed.

    Args:
        outs (Mapping): Output paths, one, several or None, by the names of their arguments.
        force (bool): Whether existing files may be replaced.
        inputs (Mapping, optional): Input paths likewise; names of models may be among them.
        folders (bool): Whether an output may be a folder.
        inside (Sequence[str], optional): The files that are written into an output folder. If None, the folder has to
            be empty.

    Raises:
        InputError: If an output may not be written.
    """
    check_outputs(outs, force, inputs, folders, inside)
    with ExitStack() as stack:
        for _, path in named_paths(outs):
            stack.enter_context(folder_made(Path(os.path.abspath(path))))
            if is_first_process():
                stack.enter_context(locked(path, 'being written'))
        yield


def check_outputs(
    outs: Mapping[str, Paths],
    force: bool = False,
    inputs: Mapping[str, Paths] | None = None,
    folders: bool = False,
    inside: Sequence[str] | None = None,
) -> None:
    """Raise an InputError unless outputs may be written; see `claimed`. Nothing is made."""
    paths = named_paths(outs)
    for _, path in paths:
        check_name(path)
    taken: dict[Path, str] = {}
    for name, path in named_paths(inputs or {}):
        with suppress(OSError, RuntimeError, ValueError):  # reported when the input is read
            if os.path.lexists(path.expanduser()):
                taken[path.expanduser().resolve()] = name
    for name, path in paths:
        place = path.resolve()
        if place in taken:
            raise InputError(f'{name} {path} is the file of {taken[place]}, which it would replace: name another one.')
        check_kind(path, folders)
        if not force:
            check_free(name, path, inside)
        for each, source in taken.items():
            if place in each.parents and path.is_dir():
                raise InputError(
                    f'{name} {path} is the folder that the file of {source} lies in, which it might '
                    'replace: name another one.'
                )
        taken[place] = name


def named_paths(arguments: Mapping[str, Paths]) -> list[tuple[str, Path]]:
    """Return each path of `arguments` with the name of its argument."""
    return [
        (name, Path(path))
        for name, paths in arguments.items()
        if paths is not None
        for path in ([paths] if isinstance(paths, (str, Path)) else paths)
    ]


def check_name(path: Path) -> None:
    """Raise an InputError if no file can have the name `path`, or its unfinished file would have too long a name."""
    text = str(path)
    wrong = next((character for character in path.name if unicodedata.category(character) == 'Cc'), None)
    if '\0' in text or wrong is not None:
        raise InputError(f'{text!r} has the control character {wrong or chr(0)!r} in its name: name another one.')
    place = Path(os.path.abspath(path))
    if not place.name:
        raise InputError(f'{path} is the root of all folders: name a new folder, or a file.')
    most, most_in_path = limit(place, 'PC_NAME_MAX', NAME_BYTES), limit(place, 'PC_PATH_MAX', PATH_BYTES)
    for part in place.parts:
        size, room = len(os.fsencode(part)), most - (ADDED_TO_NAME if part == path.name else 0)
        if size > room:
            raise InputError(
                f'the name {cut(part)} has {size} bytes, and there is room for {room} here (unfinished '
                'files have longer names): shorten it.'
            )
    size, room = len(os.fsencode(place)), most_in_path - ADDED_TO_PATH
    if size > room:
        raise InputError(f'the path {cut(text)} has {size} bytes, and there is room for {room}: choose a shorter one.')


def limit(path: Path, name: str, default: int) -> int:
    """Return how many bytes the file system of `path` allows for names, or for paths."""
    if hasattr(os, 'pathconf'):
        for folder in path.parents:
            with suppress(OSError, ValueError):
                found = os.pathconf(folder, name)
                return found if found > 0 else default
    return default


def check_kind(path: Path, folders: bool = False) -> None:
    """Raise an InputError if `path` exists and is no plain file, or, without `folders`, a folder."""
    if path.is_dir():
        if not folders:
            raise InputError(f'{path} is a folder: name a file in it.')
    elif path.exists() and not path.is_file():
        raise InputError(f'{path} is no plain file, but a device or a pipe: name a file.')


def check_free(name: str, path: Path, inside: Sequence[str] | None = None) -> None:
    """Raise an InputError if writing to `path`, the argument called `name`, would replace a file; see `claimed`."""
    if path.is_dir():
        if inside is None and next(path.iterdir(), None) is not None:
            raise InputError(
                f'{path} is a folder that is not empty: give --force to replace files in it, or another {name}.'
            )
        for file in inside or ():
            check_free(name, path / file)
    elif os.path.lexists(path):
        raise InputError(f'{path} exists: give --force to replace it, or another {name}.')


def next_free(paths: Iterable[Path]) -> list[Path]:
    """Return `paths`, or if one of them exists, the same names with the first free number: x_2.py."""
    paths = list(paths)
    number, found = 1, paths
    while any(map(os.path.lexists, found)):
        number += 1
        found = [path.with_name(f'{path.stem}_{number}{path.suffix}') for path in paths]
    return found


@contextmanager
def folder_made(path: Path) -> Iterator[None]:
    """Make the folder of `path`; at the end, remove new folders that are empty, `path` included."""
    new = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    try:
        make_folder(path.parent)
        yield
    finally:
        for folder in new:
            with suppress(OSError):  # of files, and folders that are not empty
                folder.rmdir()
