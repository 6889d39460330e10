import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.distances import L1, L2, PseudoHuber
from mmcm.utils.errors import InputError
from support.parity import Fixture

ALL = [L1(), L2(), PseudoHuber(), PseudoHuber(factor=0)]


def test_closed_forms_hold_for_each_image():
    a, b = torch.zeros(2, 1, 2, 2), torch.tensor([[1.0, -1, 1, -1], [4.0, 0, 0, 0]]).view(2, 1, 2, 2)
    assert L1()(a, b).tolist() == [1.0, 1.0]
    assert L2()(a, b).tolist() == [1.0, 4.0]
    c = 0.1 * math.sqrt(4)  # factor sqrt(C H W)
    assert_close(PseudoHuber(0.1)(a, b), torch.tensor([math.sqrt(4 + c**2) - c, math.sqrt(16 + c**2) - c]))


@pytest.mark.parametrize('case', ['huber_a', 'huber_b'])
def test_pseudo_huber_is_the_papers(case):
    fixture = Fixture('ict')
    expected = fixture(case, 'paper_form_per_sample_NOT_MEASURED')
    assert_close(PseudoHuber()(fixture(case, 'input'), fixture(case, 'target')), expected.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize('distance', ALL)
def test_distance_is_symmetric_and_vanishes_for_equal_images_only(distance):
    a, b = torch.randn(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(distance(a, b), distance(b, a))
    assert (distance(a, b) > 0).all()
    assert not distance(a, a).any()


def test_gradient_of_pseudo_huber_is_finite_for_equal_images():
    a = torch.ones(1, 1, 2, 2, requires_grad=True)
    PseudoHuber()(a, torch.ones(1, 1, 2, 2)).sum().backward()
    assert not a.grad.any()


def test_pseudo_huber_without_offset_is_the_norm_and_its_gradient_vanishes_for_equal_images():
    a = torch.tensor([[3.0, 0, 4, 0], [0.0, 0, 0, 0]]).view(2, 1, 2, 2).requires_grad_()
    distance = PseudoHuber(factor=0)(a, torch.zeros(2, 1, 2, 2))
    assert distance.tolist() == [5.0, 0.0]
    distance.sum().backward()
    assert_close(a.grad.flatten(1), torch.tensor([[0.6, 0, 0.8, 0], [0.0, 0, 0, 0]]))


@pytest.mark.parametrize('factor', [-0.1, float('nan')])
def test_factor_that_cannot_be_is_refused(factor):
    with pytest.raises(InputError, match=f'got {factor}'):
        PseudoHuber(factor)


def test_size_resizes_both_images_first():
    a, b = torch.tensor([[0.0, 4.0], [0.0, 4.0]]).view(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    # twice as wide, the values lie a quarter of the way from the old centres: 0, 1, 3, 4
    assert L2(size=4)(a, b).tolist() == [(0 + 1 + 9 + 16) / 4]
    assert L2(size=2)(a, b).tolist() == L2()(a, b).tolist()
    assert L2(size=1)(a, b).tolist() == [4.0]


@pytest.mark.parametrize('size', [0, -32, 32.0, (32, 32)])
def test_size_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match='size has to be a number of pixels'):
        L2(size)
