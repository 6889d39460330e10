from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import pytest
import torch

from mmcm.utils.arguments import check_arguments, not_met, parameters_of
from mmcm.utils.errors import InputError

INF, NAN = float('inf'), float('nan')


class Base:
    def __init__(self, optimizer, interval: int = 1, begin: float = 0.0) -> None: ...


class Passing(Base):
    def __init__(self, *args, edges: Sequence[float] = (1.0,), **kwargs) -> None: ...


class Open(Passing):
    def __init__(self, name: str = '', **kwargs) -> None: ...


class Keeping:
    def __init__(self, switch: bool = False, **kwargs) -> None: ...


def function(size: int, pairs: 'NoSuchName' = None) -> None:  # noqa: F821
    ...


def test_parameters_are_those_of_all_that_a_class_passes_them_to():
    assert parameters_of(Passing) == (dict(edges=Sequence[float], optimizer=Any, interval=int, begin=float), False)
    assert list(parameters_of(Open)[0]) == ['name', 'edges', 'optimizer', 'interval', 'begin']
    assert parameters_of(Keeping) == (dict(switch=bool), True)
    assert parameters_of(function) == (dict(size=int, pairs=Optional[Any]), False)
    assert parameters_of(object) == ({}, False)


@pytest.mark.parametrize(
    'hint, value',
    [
        (int, 3),
        (int, 1e4),
        (int, np.int64(3)),
        (int, torch.tensor(3)),
        (float, 3),
        (float, INF),
        (bool, 1),
        (Any, 'x'),
        (str, 3),
        (dict, 3),
        (Optional[int], None),
        (Union[float, torch.Tensor], torch.tensor(1.5)),
        (Union[int, str], 'all'),
        (Union[int, dict], {}),
        (tuple[float, float], (0, 1)),
        (tuple[int, ...], []),
        (Sequence[float], [1, 2.5]),
        (Sequence[float], 3),
        (list[Any], ['a']),
        (Optional[str], 3),
    ],
)
def test_values_of_the_type_are_taken(hint, value):
    assert not_met(hint, value) is None


@pytest.mark.parametrize(
    'hint, value, words',
    [
        (int, 'abc', 'an integer'),
        (int, 1.5, 'an integer'),
        (int, True, 'an integer'),
        (int, INF, 'an integer'),
        (int, NAN, 'an integer'),
        (int, [1], 'an integer'),
        (int, None, 'an integer'),
        (float, 'abc', 'a number'),
        (float, NAN, 'a number'),
        (float, 1j, 'a number'),
        (bool, 'abc', 'True or False'),
        (bool, 2, 'True or False'),
        (Optional[int], 'abc', 'an integer or None'),
        (Union[float, torch.Tensor], 'abc', 'a number'),
        (tuple[float, float], (1,), 'a list of 2'),
        (tuple[float, float], (1, 'a'), 'a list, each of it a number'),
        (Sequence[int], [1, 2.5], 'a list, each of it an integer'),
        (Optional[Sequence[float]], ['a'], 'a list, each of it a number'),
    ],
)
def test_values_of_other_types_are_told(hint, value, words):
    assert not_met(hint, value) == words


def test_argument_that_is_not_taken_is_told_with_the_nearest():
    check_arguments(Passing, dict(type='Passing', interval=3, priority='LOW'), more=('priority',))
    with pytest.raises(InputError, match="^hooks.mine: Passing takes no 'intreval', nearest: interval"):
        check_arguments(Passing, dict(intreval=3), 'hooks.mine')
    with pytest.raises(InputError, match="^Passing: Passing takes no 'x'|^Passing takes no 'x'"):
        check_arguments(Passing, dict(x=3))
    check_arguments(Keeping, dict(anything=3))


def test_value_of_another_type_is_told_with_its_place():
    with pytest.raises(InputError, match=r"^hooks.mine.interval has to be an integer, got 'abc'\."):
        check_arguments(Passing, dict(interval='abc'), 'hooks.mine')
    with pytest.raises(InputError, match=r'^interval of Passing has to be an integer'):
        check_arguments(Passing, dict(interval='abc'))
