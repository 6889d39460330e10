import numpy as np
import pytest
import torch

from mmcm.utils.checks import as_list, check_choice, check_count, check_number, has_length
from mmcm.utils.errors import InputError


def test_integers_of_all_kinds_are_counts():
    for value in (1, 7, np.int64(3)):
        check_count('n', value)
    for value in (0, -1, 1.0, '3', True, None):
        with pytest.raises(InputError, match='n has to be an integer of at least 1'):
            check_count('n', value)


def test_counts_may_have_a_limit():
    check_count('n', 3, most=3)
    for value in (0, 4, '3'):
        with pytest.raises(InputError, match=f'n has to be an integer from 1 to 3, got {value!r}'):
            check_count('n', value, most=3)


def test_numbers_of_all_kinds_are_numbers():
    for value in (1, -0.5, float('nan'), np.float32(3), np.int64(3)):
        check_number('x', value)
    for value in ('3', True, None, [1.0]):
        with pytest.raises(InputError, match='x has to be a number, got'):
            check_number('x', value)


def test_choices_are_named():
    check_choice('kind', 'a', ('a', 'b'))
    for value in ('c', None, ['a']):
        with pytest.raises(InputError, match='kind has to be one of a, b, got'):
            check_choice('kind', value, ('a', 'b'))


def test_lists_arrays_and_tensors_have_a_length_and_single_values_have_none():
    for values in ([3], (3,), np.array([3]), torch.tensor([3]), range(1), []):
        assert has_length(values) and as_list('x', values) == list(values)
    for value in (3, 'word', np.array(3), torch.tensor(3), None):
        assert not has_length(value)
    with pytest.raises(InputError, match='x has to be a list, got 3'):
        as_list('x', 3)
