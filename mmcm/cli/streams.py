"""Standard streams that any command may write to: whatever their encoding is, and also where the caller closed them."""

import codecs
import io
import os
import sys

from mmcm.utils.system import has_reader

NAMES = ('stdin', 'stdout', 'stderr')
AS_BYTES = 'mmcm.as_bytes'  # names of files keep the bytes that they have, as Python prints them in the C locale


def make_usable() -> None:
    """Open the standard streams that are closed on nothing, and have all of them write any character.

    Where a stream is closed, Python has None for it, prints for stderr to stdout, and the next file that is opened gets
    its number: what a library then prints would go into that file.
    """
    for number, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            fill(number)
            setattr(sys, name, open(number, 'w' if number else 'r', encoding='utf-8', closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.errors == 'strict':
                stream.reconfigure(errors='backslashreplace')
            elif stream.errors == 'surrogateescape':
                stream.reconfigure(errors=AS_BYTES)


def fill(number: int) -> None:
    """Have the file of this number be nothing, unless there is one by now."""
    try:
        os.fstat(number)
    except OSError:
        found = os.open(os.devnull, os.O_RDWR)
        if found != number:
            os.dup2(found, number)
            os.close(found)
        os.set_inheritable(number, True)


def as_bytes(error: UnicodeError) -> tuple[str, int]:
    """Write characters that stand for bytes of a name as these, and others as escapes: an error handler of codecs."""
    try:
        return codecs.lookup_error('surrogateescape')(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


codecs.register_error(AS_BYTES, as_bytes)


def abandoned() -> list[io.TextIOBase]:
    """Return those of stdout and stderr that are pipes which nobody reads any more."""
    found = []
    for stream in (sys.stdout, sys.stderr):
        try:
            if not has_reader(stream):
                found.append(stream)
        except (OSError, ValueError, AttributeError):  # no file at all, in a notebook for example
            continue
    return found


def silence(stream: io.TextIOBase) -> None:
    """Have a stream write to nothing: also what Python flushes as it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
