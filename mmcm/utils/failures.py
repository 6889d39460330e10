"""Failures of the machine or of another process, described in one line each."""

import errno
import re
import traceback
from pathlib import Path
from typing import TypeGuard

from mmcm.utils.errors import InputError

SHOWN = 100  # characters of a name that is too long
MEMORY = 'The system kills processes when memory is short: fewer workers (num_workers of the loader) need less.'
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Errors of gloo and NCCL when a connected process is gone.
DISCONNECTED = re.compile(
    r'Connection (closed|reset) by peer|Broken pipe|Connection was likely closed|remote process exited|'
    r'Socket closed|recvValue failed|sendBytes failed|Timed out waiting \d+ms',
    re.IGNORECASE,
)


class MachineFailure(RuntimeError):
    """A resource of the machine is gone. The message is one sentence that names it."""


def machine_failure(error: BaseException) -> str | None:
    """Describe a failure of the machine in one or two sentences; return None for any other `error`."""
    text = str(error)
    if isinstance(error, MachineFailure):
        return text
    if isinstance(error, InputError) and is_full(error.__cause__):
        return text.replace(' Choose another place.', ' Free some space.')
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f'the name {str(error.filename)[:SHOWN]}... is too long for the file system: shorten it.'
    if is_full(error):
        return f'{error.filename or "a file"} cannot be written: {error.strerror}. Free some space.'
    if isinstance(error, (ConnectionError, EOFError)) and passes_tensors(error):
        return f'a process that reads images has ended while it passed some on. {MEMORY}'
    if not isinstance(error, RuntimeError):
        return None
    worker = re.search(r'DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (.*)', text)
    if worker:
        end = worker[2].split('. ')[0].rstrip('.')
        return f'process {worker[1]}, which reads images, has ended: {end}. {MEMORY}'
    if 'PytorchStreamWriter failed' in text:
        return f'a checkpoint cannot be written, the disk may be full: {text.splitlines()[0]}.'
    if DISCONNECTED.search(text):
        return 'the connection to another process of this run is lost: that process was killed, or its machine failed.'
    return None


def passes_tensors(error: BaseException) -> bool:
    """Return whether `error` was raised where a tensor of another process is received."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(Path(frame.f_code.co_filename).name == 'resource_sharer.py' for frame, _ in frames)


def is_full(error: BaseException | None) -> TypeGuard[OSError]:
    """Return whether `error` means that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in FULL
