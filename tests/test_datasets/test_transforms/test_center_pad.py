import numpy as np
import pytest

from mmcm.datasets.transforms import CenterPad
from mmcm.utils.errors import InputError


def pad(shape, size, **options):
    pixels = np.random.RandomState(0).randint(1, 255, shape).astype(np.uint8)
    return pixels, CenterPad(size, **options).transform(dict(img=pixels, gt_label=3))['img']


def test_image_is_in_the_middle_of_the_rim():
    pixels, padded = pad((28, 28, 1), 32)
    assert padded.shape == (32, 32, 1) and padded.dtype == np.uint8
    assert np.array_equal(padded[2:30, 2:30], pixels) and padded.sum() == pixels.sum()


def test_odd_rim_is_larger_below_and_on_the_right():
    pixels, padded = pad((3, 6, 3), 8, value=255)
    assert np.array_equal(padded[2:5, 1:7], pixels)
    assert (padded == 255).sum() == 3 * (64 - 18)


def test_image_of_that_size_stays():
    pixels, padded = pad((8, 8, 3), 8)
    assert np.array_equal(padded, pixels)


@pytest.mark.parametrize('shape', [(9, 4, 1), (4, 9, 1)])
def test_larger_image_is_refused(shape):
    with pytest.raises(InputError, match=f'{shape[1]} x {shape[0]} pixels cannot be padded to 8 x 8'):
        pad(shape, 8)
