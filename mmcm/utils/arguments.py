"""Checks of the arguments in a config against the signature of a class or function."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from numbers import Number
from typing import Any, Optional, Union

from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

NOT_ARGUMENTS = ('type', '_scope_', '_delete_')  # keys of a config that MMEngine reads itself
SEQUENCES = (list, tuple, Sequence, Iterable)
CHECKED = (bool, int, float, type(None))
UNIONS = (Union, types.UnionType)


def check_arguments(called: Callable, given: Mapping[str, Any], place: str = '', more: Sequence[str] = ()) -> None:
    """Raise an InputError unless `called` takes all arguments `given`, by name and by type.

    Args:
        called (Callable): A class or a function.
        given (Mapping): Names and values of arguments; `NOT_ARGUMENTS` are left out.
        place (str): Path of the config that gives them, such as 'optim_wrapper.optimizer'.
        more (Sequence[str]): Further names, which are removed from the config before the call.
    """
    name = getattr(called, '__name__', str(called))
    parameters, open_ended = parameters_of(called)
    for key, value in given.items():
        if key in NOT_ARGUMENTS or key in more:
            continue
        setting = f'{place}.{key}' if place else f'{key} of {name}'
        if key in parameters:
            wanted = not_met(parameters[key], value)
            if wanted:
                raise InputError(f'{setting} has to be {wanted}, got {value!r}.')
        elif not open_ended:
            near = nearest(str(key), [*parameters, *more])
            raise InputError(f'{place and f"{place}: "}{name} takes no {key!r}{near}.')


def parameters_of(called: Callable) -> tuple[dict[str, Any], bool]:
    """Return the parameters of a class or function with their types, and whether it takes any further name.

    A class with `**kwargs` is assumed to pass them to the next class that it inherits from.
    """
    found: dict[str, Any] = {}
    functions = [called]
    if inspect.isclass(called):
        functions = [vars(kind)['__init__'] for kind in called.__mro__[:-1] if '__init__' in vars(kind)]
    for function in functions:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # of C
            return found, True
        hints = hints_of(function)
        if inspect.isclass(called):
            parameters = parameters[1:]
        for each in parameters:
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
                hint = hints.get(each.name, Any)
                found.setdefault(each.name, Optional[hint] if each.default is None else hint)  # noqa: UP045  (a hint may be a string)
        if all(each.kind != each.VAR_KEYWORD for each in parameters):
            return found, False
    return found, bool(functions)


def hints_of(function: Callable) -> dict[str, Any]:
    """Return the types of the parameters of `function`, except those that cannot be resolved."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # some of the names are imported for type checkers alone
        hints = {}
    for name, hint in getattr(function, '__annotations__', {}).items():
        with suppress(Exception):
            hints[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
    return hints


def not_met(hint: Any, value: Any) -> str | None:
    """Describe the type that `value` should have; None if it has the type `hint` or cannot be checked.

    Only booleans, numbers and lists of them are checked.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return union_not_met(parts, value)
    if hint is type(None):
        return None if value is None else 'None'
    if hint is bool:
        return None if isinstance(value, bool) or (is_number(value) and value in (0, 1)) else 'True or False'
    if hint is int:
        return None if is_number(value) and float(value).is_integer() else 'an integer'
    if hint is float:
        return None if is_number(value) and not math.isnan(value) else 'a number'
    if origin in SEQUENCES and parts:
        return sequence_not_met(origin, parts, value)
    return None


def union_not_met(parts: tuple, value: Any) -> str | None:
    """Apply `not_met` to a union of types."""
    known = [part for part in parts if part in CHECKED or typing.get_origin(part) in SEQUENCES]
    others = [part for part in parts if part not in known and (part is not dict or isinstance(value, Mapping))]
    scalar = value is None or isinstance(value, (str, bool, Number))
    if scalar or isinstance(value, (list, tuple)):
        known = [part for part in known if (typing.get_origin(part) in SEQUENCES) is not scalar] or known
    wanted = [text for part in known if (text := not_met(part, value)) is not None]
    if len(wanted) < len(known) or (isinstance(value, str) and str in others) or (others and not scalar):
        return None
    return ' or '.join(dict.fromkeys(wanted)) if known and known != [type(None)] else None


def sequence_not_met(origin: Any, parts: tuple, value: Any) -> str | None:
    """Apply `not_met` to the items of a list or tuple; other values are left to the class."""
    if not isinstance(value, (list, tuple)):
        return None
    fixed = origin is tuple and Ellipsis not in parts
    if fixed and len(parts) != len(value):
        return f'a list of {len(parts)}'
    pairs = zip(parts, value) if fixed else ((parts[0], each) for each in value)
    wanted = next(filter(None, (not_met(part, each) for part, each in pairs)), None)
    return wanted and f'a list, each of it {wanted}'


def is_number(value: Any) -> bool:
    """Return whether `value` is a number, also one in an array or a tensor."""
    return (isinstance(value, Number) or hasattr(value, '__float__')) and not isinstance(value, (bool, complex))
