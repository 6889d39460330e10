"""Locks: one process at a time for an output, a store or a work directory, by a lock file that names its owner.

`filelock` is used where POSIX locks are missing (`utils/system.py`): it locks by flock, which forked workers hold on to
after the process that made them was killed.
"""

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

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # on file systems without locks
OWNER_BYTES = 200  # read from a lock file
_ours: set[str] = set()  # locks of this process, which the system would grant twice


def is_first_process() -> bool:
    """Return whether this process of a run writes its outputs."""
    return os.environ.get('RANK', '0') == '0'


@contextmanager
def locked(path: Path, doing: str, what: Path | None = None, hint: str = '') -> Iterator[None]:
    """Lock `path` against other processes and other tasks of this process.

    The lock is a hidden file beside `path`, which is removed at the end. The system releases it when the process ends,
    however it ends. On file systems without locks there is none.

    Args:
        path (Path): The path to lock.
        doing (str): The work, such as 'being written', for the message.
        what (Path, optional): Another path for the message.
        hint (str): More advice for the message.

    Raises:
        InputError: If another process holds the lock, or nothing can be written beside `path`.
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
    """Return the locked lock file; raise a BlockingIOError that names the owner if there is one."""
    while True:
        if key in _ours:
            raise BlockingIOError(_owner(None))
        try:
            file = place.open('a+b', buffering=0)
        except FileNotFoundError:
            make_folder(place.parent)  # another process may have removed it as empty
            file = place.open('a+b', buffering=0)
        opened = stack.enter_context(ExitStack())
        opened.callback(file.close)
        try:
            opened.enter_context(system.held(file, place))
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            raise BlockingIOError(_owner(file)) from error
        # The owner may have removed the file since it was opened: then others lock a new one.
        if place.exists() and os.path.samestat(os.fstat(file.fileno()), place.stat()):
            return file
        opened.close()


def _owner(file: BinaryIO | None) -> str:
    """Return the owner that a lock file names; without a file it is this process."""
    if file is None:
        return 'another task of this process'
    text = ''
    with suppress(OSError):
        file.seek(0)
        text = file.read(OWNER_BYTES).decode('utf-8', 'replace')
    return ''.join(character for character in text if character.isprintable()) or 'another process'
