"""Calls that differ between operating systems, each behind one function.

No other module calls POSIX-only functions: `fcntl`, `os.pread`, `os.O_NONBLOCK` and others are missing on Windows.
"""

import errno
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]
try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

RENAMES_OPEN_FILES = os.name != 'nt'
_seeking = threading.Lock()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def peak_memory() -> int | None:
    """Return the largest resident memory of this process so far; None where the system does not say."""
    with suppress(OSError, StopIteration):  # Linux; `getrusage` begins at the peak of the process that started this one
        lines = Path('/proc/self/status').read_text().splitlines()
        return int(next(line for line in lines if line.startswith('VmHWM:')).split()[1]) * 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def after_fork_in_child(call: Callable[[], None]) -> None:
    """Have each process that is forked from now on run `call` first, on systems with forks."""
    if hasattr(os, 'register_at_fork'):
        os.register_at_fork(after_in_child=call)


def has_reader(stream: TextIO) -> bool:
    """Return whether the pipe `stream` still has a reader; False on systems that do not report it."""
    if not hasattr(select, 'poll'):
        return False
    pipe = select.poll()
    pipe.register(stream.fileno(), select.POLLOUT)
    return not any(event & select.POLLERR for _, event in pipe.poll(0))


def open_at_once(path: str | Path) -> BinaryIO:
    """Open a file for reading, without waiting for the writer of a named pipe."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, 'O_NONBLOCK', 0))

    return open(path, 'rb', opener=opener)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return up to `size` bytes of a file from `offset` on.

    Threads and forked processes may share the open file: no read depends on its position.
    """
    if hasattr(os, 'pread'):
        return os.pread(file.fileno(), size, offset)
    with _seeking:
        file.seek(offset)
        return file.read(size)


def write_at(file: BinaryIO, offset: int, content: bytes | memoryview) -> None:
    """Write all of `content` into an unbuffered file from `offset` on."""
    left = memoryview(content)
    while left:
        if hasattr(os, 'pwrite'):
            written = os.pwrite(file.fileno(), left, offset)
        else:
            file.seek(offset)
            written = file.write(left)
        left, offset = left[written:], offset + written


def reserve(file: BinaryIO, size: int) -> bool:
    """Reserve `size` bytes of the disk for a file; False where the system or the file system cannot.

    Raises:
        OSError: If the disk has less room.
    """
    if not hasattr(os, 'posix_fallocate'):
        return False
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return False
        raise
    return True


@contextmanager
def held(file: BinaryIO, path: Path) -> Iterator[None]:
    """Lock the open file `file`, whose path is `path`, against other processes.

    The system releases the lock when this process ends for any reason. On POSIX systems, closing the file releases it,
    too, and processes that were forked meanwhile do not inherit it. On other systems, `<path>.lock` is locked.

    Raises:
        OSError: If another process holds it.
    """
    if fcntl is not None:
        # Neither flock nor filelock, which uses it: forked workers would keep the lock when this process is killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    else:
        from filelock import FileLock  # whose Timeout is an OSError

        with FileLock(f'{path}.lock', timeout=0):
            yield
