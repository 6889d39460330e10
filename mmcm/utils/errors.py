"""What the package raises when the user's input cannot be used."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

TRACEBACK = 'MMCM_TRACEBACK'  # the variable of the environment that asks for tracebacks beside messages of one line


class InputError(ValueError):
    """A path, name, number or file that was given cannot be used.

    The message is one line that says what was given, what was expected and how to mend it. The command line tools print
    it without a traceback and leave with exit code 2; any other exception is a fault of ours and keeps its traceback.
    """


def printable(text: str) -> str:
    """Return `text` without characters that terminals obey or outputs cannot take; a file may have any in its name."""
    return ''.join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def first_of(items: Iterable[Any], most: int = 3) -> str:
    """Return the first `most` of `items` as text, with '...' where there are more."""
    (*shown,) = map(str, islice(items, most + 1))
    return ', '.join(shown[:most]) + (', ...' if len(shown) > most else '')
