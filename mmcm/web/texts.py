"""What errors repeat of what a visitor gave: little enough to read."""

from typing import Any

SHOWN = 80  # characters of a value
LONGEST = 1000  # characters of an error


def shortened(value: Any) -> str:
    """Return the representation of a value, cut where it is long."""
    text = repr(value[: 2 * SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}...'


def cut(message: str) -> str:
    """Return an error, without its end where it is long."""
    return message if len(message) <= LONGEST else f'{message[:LONGEST]}...'
