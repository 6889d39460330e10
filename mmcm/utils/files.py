"""Writing results: folders, and files that appear whole or not at all."""

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmcm.utils.errors import InputError

TOKEN_BYTES = 6  # of the random part of temporary names


def make_folder(folder: Path) -> None:
    """Make `folder` if it does not exist; raise an InputError if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # the latter for a name with a null character
        raise InputError(
            f'{folder} cannot be made a folder for the results: {getattr(error, "strerror", error)}. '
            'Choose another place.'
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f'{folder} cannot be written to. Choose another place, or change its permissions.')


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, which appears under its name only when it is whole."""
    with appearing(path) as part:
        part.write_bytes(content)


@contextmanager
def appearing(path: Path, advice: str = 'Choose another place.') -> Iterator[Path]:
    """Yield a temporary path for a file or a folder, which replaces `path` when the block ends without an error.

    Args:
        path (Path): The final path.
        advice (str): Advice of the error message.

    Raises:
        InputError: If it cannot be written.
    """
    part, old = temporary(path, 'part'), temporary(path, 'old')
    try:
        yield part
        if part.is_dir() and path.is_dir():
            path.replace(old)  # a folder that is not empty cannot be replaced in one step
        try:
            part.replace(path)
        except OSError:
            with suppress(FileNotFoundError):
                old.replace(path)
            raise
        remove(old)
    except OSError as error:
        raise InputError(f'{path} cannot be written: {error.strerror or error}. {advice}') from error
    finally:
        remove(part)


def temporary(path: Path, kind: str = 'part') -> Path:
    """Return a path beside `path` that no other process uses, even on another machine that shares the folder."""
    return path.with_name(f'.{path.name}.{secrets.token_hex(TOKEN_BYTES)}.{kind}')


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a hidden file beside `path`, such as its lock."""
    path = Path(os.path.abspath(path))  # '.' has no name
    return path.with_name(f'.{path.name}{suffix}')


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed processes that wrote `path`, and restore a folder that one was replacing."""
    pattern = f'.{glob.escape(path.name)}.{"[0-9a-f]" * 2 * TOKEN_BYTES}'
    for old in path.parent.glob(f'{pattern}.old'):
        with suppress(OSError):
            if not path.exists():
                old.replace(path)
        remove(old)
    for part in path.parent.glob(f'{pattern}.part'):
        remove(part)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists and can be removed."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def check_file(path: Path) -> None:
    """Raise an InputError unless a file `path` can be written; make its folder, and leave nothing else."""
    if path.is_dir():
        raise InputError(f'{path} is a folder: name a file in it.')
    make_folder(path.parent)
    probe = temporary(path)
    try:
        probe.touch()  # permissions are not enough: root has them all, and /proc takes no files
    except OSError as error:
        raise InputError(f'{path} cannot be written: {error.strerror}. Choose another place.') from error
    remove(probe)


def check_room(folder: Path, needed: int) -> None:
    """Raise an InputError unless the disk of `folder` has `needed` bytes of free space."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f'{folder} has {in_bytes(free)} of free space, and {in_bytes(needed)} are needed. Make room, or choose '
            'another place.'
        )


def in_bytes(number: int) -> str:
    """Return a number of bytes in the largest unit of which there is at least one."""
    for unit, size in (('TB', 1e12), ('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if number >= size:
            return f'{number / size:.4g} {unit}'
    return f'{number} bytes'
