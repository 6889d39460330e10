import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from mmcm.operators import Deblurring
from mmcm.utils.errors import InputError

KERNEL = (1, 4, 6, 4, 1)
IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
ESTIMATES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_blur_is_the_convolution_with_mirrored_edges():
    kernel = (0.5, 0.3, 0.1, 0.05, 0.05)  # not symmetric
    expected = IMAGES.numpy()
    for axis in (-2, -1):
        expected = convolve1d(expected, np.flip(kernel), axis=axis, mode='reflect')
    np.testing.assert_allclose(Deblurring(kernel, 16).blurred(IMAGES).numpy(), expected, atol=1e-6)


def test_weights_of_a_kernel_are_divided_by_their_sum():
    flat = torch.full((1, 1, 16, 16), 0.25)
    torch.testing.assert_close(Deblurring(KERNEL, 16).blurred(flat), flat)


def test_what_is_known_of_a_sharp_and_of_its_blurred_picture_is_the_same():
    operator = Deblurring(KERNEL, 16)
    sharpened = operator.sharpened(operator.blurred(IMAGES))
    torch.testing.assert_close(sharpened, operator.degrade(IMAGES), rtol=0, atol=2e-6)
    assert (sharpened - IMAGES).abs().max() > 0.1  # there is something that the blur took away


def test_result_that_blurs_to_the_same_picture_up_to_the_smallest_gain():
    operator = Deblurring(KERNEL, 16, smallest_gain=0.01)
    kept = operator.keep(IMAGES, ESTIMATES)
    difference = operator.blurred(kept) - operator.blurred(IMAGES)
    assert difference.norm() < 0.01 * (ESTIMATES - IMAGES).norm()


def test_operator_is_a_projection_and_moving_it_changes_nothing():
    operator = Deblurring(KERNEL, 16)
    known = operator.degrade(IMAGES)
    torch.testing.assert_close(operator.degrade(known), known, rtol=0, atol=2e-6)
    torch.testing.assert_close(operator.degrade(operator.keep(known, ESTIMATES)), known, rtol=0, atol=2e-6)
    torch.testing.assert_close(operator.to('cpu').keep(known, ESTIMATES), operator.keep(known, ESTIMATES))


def test_nothing_is_known_of_what_a_blur_wipes_out():
    """A shift, which loses the pixels at one edge."""
    operator = Deblurring((1, 0, 0), 16)
    assert operator.gains.min() == 0
    sharpened = operator.sharpened(operator.blurred(IMAGES))
    torch.testing.assert_close(sharpened, operator.degrade(IMAGES), rtol=0, atol=2e-6)
    torch.testing.assert_close(operator.blurred(sharpened), operator.blurred(IMAGES), rtol=0, atol=2e-6)


def test_no_blur_leaves_everything_known():
    operator = Deblurring((1,), 16)
    torch.testing.assert_close(operator.keep(IMAGES, ESTIMATES), IMAGES, rtol=0, atol=2e-6)


@pytest.mark.parametrize('kernel', [(1, 1), (), (1, -1, 0), (float('nan'), 1, 0), (1,) * 33])
def test_what_is_no_blur_is_refused(kernel):
    with pytest.raises(InputError, match='kernel has an odd number|positive sum'):
        Deblurring(kernel, 16)


def test_images_of_another_size_and_gains_beyond_one_are_refused():
    with pytest.raises(InputError, match='16 x 16 pixels, these have 8 x 8'):
        Deblurring(KERNEL, 16).degrade(torch.zeros(1, 1, 8, 8))
    with pytest.raises(InputError, match=r'\(0, 1\], got 0'):
        Deblurring(KERNEL, 16, smallest_gain=0)


def test_rows_and_columns_of_other_images_than_squares_are_blurred_alike():
    images = torch.rand(2, 1, 8, 12, dtype=torch.float64) * 2 - 1
    operator, upright = Deblurring(KERNEL, (8, 12)), Deblurring(KERNEL, (12, 8))
    blurred = operator.blurred(images)
    torch.testing.assert_close(upright.blurred(images.transpose(2, 3)).transpose(2, 3), blurred)
    known = operator.sharpened(blurred)
    torch.testing.assert_close(known, operator.degrade(images), rtol=0, atol=1e-9)
    with pytest.raises(InputError, match='images of 8 x 12 pixels, these have 12 x 8'):
        operator.degrade(images.transpose(2, 3))
