import numpy as np
import pytest
import torch

from mmcm.operators import SuperResolution
from mmcm.registry import OPERATORS
from mmcm.utils.errors import InputError

IMAGES = torch.rand(2, 3, 8, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
ESTIMATES = torch.rand(2, 3, 8, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def patches(images):
    """Cut images (2, 3, 8, 4) into patches of 2 x 2: (2, 3, 4, 2, 4)."""
    return images.reshape(2, 3, 4, 2, 2, 2).transpose(3, 4).flatten(-2)


def test_means_of_patches_are_kept_and_the_rest_is_the_estimates():
    kept = patches(SuperResolution(2).keep(IMAGES, ESTIMATES))
    means, drawn = patches(IMAGES).mean(-1, keepdim=True), patches(ESTIMATES)
    torch.testing.assert_close(kept.mean(-1, keepdim=True), means, rtol=0, atol=1e-6)
    torch.testing.assert_close(kept - means, drawn - drawn.mean(-1, keepdim=True), rtol=0, atol=1e-6)


def test_degraded_picture_has_the_mean_in_all_of_a_patch():
    known = patches(SuperResolution(2).degrade(IMAGES))
    torch.testing.assert_close(known, patches(IMAGES).mean(-1, keepdim=True).expand_as(known))


def test_enlarged_picture_degrades_to_itself():
    enlarged = IMAGES.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(SuperResolution(2).degrade(enlarged), enlarged)


def test_factor_of_numpy_is_as_good_as_one_of_python():
    assert torch.equal(SuperResolution(np.int64(2)).degrade(IMAGES), SuperResolution(2).degrade(IMAGES))


@pytest.mark.parametrize('factor', [1, 0, -2, 2.0, '2'])
def test_what_is_no_factor_is_refused(factor):
    with pytest.raises(InputError, match='integer of at least 2'):
        SuperResolution(factor)


@pytest.mark.parametrize('factor', [3, 8])
def test_factor_that_does_not_divide_the_size_is_refused(factor):
    with pytest.raises(InputError, match='does not divide the size of the images, 8 x 4'):
        SuperResolution(factor).degrade(IMAGES)


def test_operator_is_built_from_a_config():
    assert OPERATORS.build(dict(type='SuperResolution', factor=4)).factor == 4
