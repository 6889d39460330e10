import math

import pytest
import torch

from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError, check_given, check_images, in_dtype, is_finite


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_one_bad_number_is_found(bad):
    values = torch.zeros(2, 3, 4, 4)
    assert is_finite(values)
    values[1, 2, 3, 0] = bad
    assert not is_finite(values)


def test_largest_numbers_are_finite():
    assert is_finite(torch.full((1000,), torch.finfo(torch.float32).max))  # whose sum is not
    assert is_finite(torch.zeros(0)) and is_finite(torch.tensor([2**62]))


def test_weights_that_another_precision_has_no_number_for_are_refused():
    weights = dict(small=torch.ones(2), large=torch.tensor([1.0, 7e4]))
    with pytest.raises(InputError, match='1 of 2 weights are not finite in float16.*: large. Write .*bfloat16'):
        in_dtype(weights, torch.float16)
    assert in_dtype(weights, torch.bfloat16)['large'].tolist() == [1.0, 70144.0]
    assert in_dtype(weights, torch.float32)['large'].tolist() == [1.0, 7e4]


def test_what_a_user_gives_is_named():
    with pytest.raises(InputError, match='^the pictures have to be finite'):
        check_given('the pictures', torch.tensor([1.0, math.nan]))
    check_given('labels', torch.tensor([1, 2]))
    with pytest.raises(NotFiniteError):
        check_images(torch.tensor([1.0, math.nan]))
