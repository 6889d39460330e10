"""`InputError`, and helpers for its messages."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

TRACEBACK = 'MMCM_TRACEBACK'  # environment variable: print tracebacks in addition to one-line messages


class InputError(ValueError):
    """A path, name, number or file of the user cannot be used.

    The message is one line that says what was given, what was expected and how to fix it. Commands print it without a
    traceback and exit with code 2. Any other exception is a bug and keeps its traceback.
    """


def printable(text: str) -> str:
    """Escape control characters and others that cannot be printed; a file name may contain any."""
    return ''.join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def cut(text: str, most: int = 60) -> str:
    """Return `text` with its middle left out if it has more than `most` characters."""
    return text if len(text) <= most else f'{text[: most // 2]}...{text[-most // 2 :]}'


def first_of(items: Iterable[Any], most: int = 3) -> str:
    """Return the first `most` of `items` as text, with '...' if there are more."""
    (*shown,) = map(str, islice(items, most + 1))
    return ', '.join(shown[:most]) + (', ...' if len(shown) > most else '')
