"""Standard streams that work with any encoding, and also if the caller closed them."""

import codecs
import io
import os
import sys
from typing import TextIO

from mmcm.utils.system import has_reader

NAMES = ('stdin', 'stdout', 'stderr')
AS_BYTES = 'mmcm.as_bytes'  # names of files keep their bytes, as in Python's C locale


def make_usable() -> None:
    """Open closed standard streams on the null device, and let all of them write any character.

    For a closed stream, Python has None, prints for stderr to stdout, and gives its number to the next opened file,
    which would then get the output of libraries.
    """
    for number, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            fill(number)
            mode = 'w' if number else 'r'
            setattr(sys, name, open(number, mode, encoding='utf-8', closefd=False))  # noqa: SIM115  (of the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.errors == 'strict':
                stream.reconfigure(errors='backslashreplace')
            elif stream.errors == 'surrogateescape':
                stream.reconfigure(errors=AS_BYTES)


def fill(number: int) -> None:
    """Open the null device under this number, unless the number is in use by now."""
    try:
        os.fstat(number)
    except OSError:
        found = os.open(os.devnull, os.O_RDWR)
        if found != number:
            os.dup2(found, number)
            os.close(found)
        os.set_inheritable(number, True)


def as_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode escaped bytes of names as these bytes, and others as escapes: an error handler of codecs."""
    try:
        return codecs.lookup_error('surrogateescape')(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


codecs.register_error(AS_BYTES, as_bytes)


def abandoned() -> list[TextIO]:
    """Return those of stdout and stderr that are pipes without a reader."""
    found: list[TextIO] = []
    for stream in (sys.stdout, sys.stderr):
        try:
            if not has_reader(stream):
                found.append(stream)
        except (OSError, ValueError, AttributeError):  # no file at all, in a notebook for example
            continue
    return found


def silence(stream: TextIO) -> None:
    """Redirect a stream to the null device, also for the flush when Python ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
