"""Checks of the values of users."""

from collections.abc import Sequence
from math import inf
from numbers import Integral, Real
from typing import Any

from mmcm.utils.errors import InputError


def check_count(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Raise an InputError unless `value` is an integer of at least `least` and, where it is given, at most `most`."""
    is_count = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_count or value < least or (most is not None and value > most):
        limits = f'of at least {least}' if most is None else f'from {least} to {most}'
        raise InputError(f'{name} has to be an integer {limits}, got {value!r}.')


def check_number(name: str, value: Any) -> None:
    """Raise an InputError unless `value` is a number, of any size."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InputError(f'{name} has to be a number, got {value!r}.')


def check_positive(name: str, value: Any) -> None:
    """Raise an InputError unless `value` is a finite number above 0."""
    check_number(name, value)
    if not 0 < value < inf:
        raise InputError(f'{name} has to be a positive number, got {value!r}.')


def check_flag(name: str, value: Any) -> None:
    """Raise an InputError unless `value` is True or False."""
    if not isinstance(value, bool) and getattr(getattr(value, 'dtype', None), 'kind', None) != 'b':  # NumPy's
        raise InputError(f'{name} has to be True or False, got {value!r}.')


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise an InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f'{name} has to be one of {", ".join(choices)}, got {value!r}.')


def has_length(values: Any) -> bool:
    """Return whether `values` is a list, an array or a tensor of values, and not a single one."""
    return hasattr(values, '__len__') and not isinstance(values, str) and getattr(values, 'ndim', 1) > 0


def as_list(name: str, values: Any) -> list:
    """Return a sequence, array or tensor of numbers or names as a list; an InputError if it is none."""
    try:
        return values.tolist() if hasattr(values, 'tolist') else list(values)
    except TypeError as error:
        raise InputError(f'{name} has to be a list, got {values!r}.') from error
