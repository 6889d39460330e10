"""Shortening of input in error messages of the page."""

from typing import Any

SHOWN = 80  # characters of a value
LONGEST = 1000  # characters of an error


def shortened(value: Any) -> str:
    """Return the representation of a value, cut if it is long."""
    text = repr(value[: 2 * SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}...'


def cut(message: str) -> str:
    """Return a message, cut if it is long."""
    return message if len(message) <= LONGEST else f'{message[:LONGEST]}...'
