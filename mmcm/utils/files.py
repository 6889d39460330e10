"""Where results are written: folders that can be, and files that appear whole or not at all."""
import os
from contextlib import suppress
from pathlib import Path

from mmcm.utils.errors import InputError


def make_folder(folder: Path) -> None:
    """Make `folder` if need be; raise an InputError if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{folder} cannot be made a folder for the results: {error.strerror}. '
                         'Choose another place.') from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f'{folder} cannot be written to. Choose another place, or change its permissions.')


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it appears under its name only when it is whole."""
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise InputError(f'{path} cannot be written: {error.strerror}. Choose another place.') from error
    finally:
        with suppress(OSError):  # it is gone, or could not be made in the first place
            part.unlink()
