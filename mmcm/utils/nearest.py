"""Suggestions for a name that does not exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest those of `names` that are close to `name`.

    Args:
        name (str): The unknown name.
        names (Iterable[str]): The known names.

    Returns:
        str: The end of a sentence, such as `', nearest: a, b'`; empty if none is close.
    """
    by_lower = {known.lower(): known for known in sorted(names)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    return f', nearest: {", ".join(by_lower[known] for known in close)}' if close else ''
