"""Checks of what users give."""
from numbers import Integral
from typing import Any

from mmcm.utils.errors import InputError


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise an InputError unless `value` is an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InputError(f'{name} has to be an integer of at least {least}, got {value!r}.')
