import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmcm.evaluation.features.tensorflow_resize import resize_bilinear


def by_definition(image, height, width):
    """Output pixel i is the input at i * size / new_size, between the pixels beside it; beyond the last is the last."""
    result = np.zeros((height, width))
    rows, columns = image.shape
    for i in range(height):
        for j in range(width):
            y, x = i * rows / height, j * columns / width
            top, left = int(y), int(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            above = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            below = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            result[i, j] = above * (1 - (y - top)) + below * (y - top)
    return result


@pytest.mark.parametrize(
    'size, new_size',
    [((5, 7), (23, 16)), ((64, 32), (99, 99)), ((40, 31), (13, 9)), ((1, 1), (3, 2)), ((9, 4), (9, 11))],
)
def test_values_are_those_of_the_definition(size, new_size):
    images = np.random.RandomState(0).randint(0, 256, (2, 3, *size)).astype(np.float32)
    expected = np.array([[by_definition(channel, *new_size) for channel in image] for image in images])
    found = resize_bilinear(torch.from_numpy(images), *new_size)
    assert_close(found.double(), torch.from_numpy(expected), rtol=0, atol=2e-3)  # places are rounded to float32


def test_first_pixel_stays_and_the_last_is_repeated():
    # 0 100 becomes 0 50 100 100, not what half-pixel centres give: 0 25 75 100.
    assert resize_bilinear(torch.tensor([[[[0.0, 100.0]]]]), 1, 4).flatten().tolist() == [0, 50, 100, 100]


def test_images_of_that_size_are_left_as_they_are():
    images = torch.rand(2, 3, 299, 299)
    assert torch.equal(resize_bilinear(images, 299, 299), images)
