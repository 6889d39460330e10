"""A folder that one process alone writes into."""
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove
from mmcm.utils.system import held

NAME = '.running'  # of the file that is held
MOST = 200  # characters of it that are shown
TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from claiming `folder` during the block; the system lets go if this process is killed.

    Where the file system cannot hold files, nobody is kept out.

    Raises:
        InputError: If another process has claimed it.
    """
    make_folder(folder)
    path = folder / NAME
    with ExitStack() as stack:
        while not hold(path, stack):
            pass
        yield


def hold(path: Path, stack: ExitStack) -> bool:
    """Hold the file `path` until `stack` is left; False if who held it before has just removed it.

    Raises:
        InputError: If another process holds it.
    """
    file = stack.enter_context(path.open('a+b', buffering=0))
    try:
        stack.enter_context(held(file, path))
    except OSError as error:
        if isinstance(error, TimeoutError) or error.errno in TAKEN:
            raise InputError(f'another run writes into {path.parent}{holder(path)}: name another work directory, or '
                             'wait for its end. Processes of one run need a launcher: torchrun, for example, without '
                             '--launcher none.') from error
    if not (path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))):
        return False
    stack.callback(remove, path)  # while it is held
    with suppress(OSError):  # of a full disk, which whoever writes results tells
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}'.encode())
    return True


def holder(path: Path) -> str:
    """Return who has claimed a folder, in parentheses, as far as the file `path` tells it."""
    try:
        with path.open('rb') as file:
            text = file.read(MOST).decode(errors='replace')
    except OSError:
        return ''
    return f' ({text})' if text else ''
