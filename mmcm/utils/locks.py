"""One process at a time for an output, a store or a work directory, by a lock file that says who has it."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mmcm.utils import system
from mmcm.utils.errors import InputError
from mmcm.utils.files import beside, make_folder

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # of file systems that know none
OWNER_BYTES = 200  # that are read of a lock file
_ours: set[str] = set()  # the system lets one process lock a file twice


def is_first_process() -> bool:
    """Return whether this is the one of all processes of a run that writes its outputs."""
    return os.environ.get('RANK', '0') == '0'


@contextmanager
def locked(path: Path, doing: str, what: Path | None = None, hint: str = '') -> Iterator[None]:
    """Keep other processes from what they do with `path` at the same time.

    The lock is a hidden file beside `path`, which goes at the end. The system lets go of it when the process ends,
    however it ends. Where the file system knows no locks, there is none.

    Args:
        path (Path): What is written.
        doing (str): What is done with it, such as 'being written', for the message.
        what (Path, optional): What the message calls it, if not `path`.
        hint (str): What else the message says to be done.

    Raises:
        InputError: If another process holds it, or nothing can be written beside `path`.
    """
    place = beside(path, '.lock')
    key = os.path.abspath(place)
    with ExitStack() as stack:
        try:
            file = _take(place, key, stack)
        except BlockingIOError as error:
            raise InputError(
                f'{what or path} is {doing} by {error}: wait for that to end, end it, or choose another '
                f'place{hint and "; "}{hint}.'
            ) from None
        except OSError as error:
            raise InputError(f'{path} cannot be written: {error.strerror}. Choose another place.') from error
        _ours.add(key)
        stack.callback(_ours.discard, key)
        file.truncate(0)
        since = time.strftime('%Y-%m-%d %H:%M:%S')
        file.write(f'process {os.getpid()} on {socket.gethostname()}, since {since}'.encode())
        try:
            yield
        finally:
            if not system.RENAMES_OPEN_FILES:
                file.close()  # Windows removes no open file
            with suppress(OSError):
                place.unlink()


def _take(place: Path, key: str, stack: ExitStack) -> BinaryIO:
    """Return the lock file, locked; a BlockingIOError whose text is the owner if another one has it."""
    while True:
        if key in _ours:
            raise BlockingIOError(_owner(None))
        try:
            file = place.open('a+b', buffering=0)
        except FileNotFoundError:
            make_folder(place.parent)  # another process removed it, which had made it for nothing
            file = place.open('a+b', buffering=0)
        opened = stack.enter_context(ExitStack())
        opened.callback(file.close)
        try:
            opened.enter_context(system.held(file, place))
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            raise BlockingIOError(_owner(file)) from error
        # Who held it may have removed the file since it was opened: then others lock another one.
        if place.exists() and os.path.samestat(os.fstat(file.fileno()), place.stat()):
            return file
        opened.close()


def _owner(file: BinaryIO | None) -> str:
    """Return what a lock file says of the process that has it."""
    text = ''
    if file is None:
        return 'another task of this process'
    with suppress(OSError):
        file.seek(0)
        text = file.read(OWNER_BYTES).decode('utf-8', 'replace')
    return ''.join(character for character in text if character.isprintable()) or 'another process'
