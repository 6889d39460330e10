import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import CenterCropToSquare, RandomCropToSquare
from mmcm.datasets.transforms.load_image import check_size
from mmcm.datasets.transforms.shorter_side import MAX_SIDE, halve, scale_shorter_side
from mmcm.utils.errors import InputError

BOX, BICUBIC = Image.Resampling.BOX, Image.Resampling.BICUBIC


def noise(*shape):
    return np.random.RandomState(sum(shape)).randint(0, 256, shape).astype(np.uint8)


def scaled(pixels, side):
    """Scale as the reference does, by Pillow alone."""
    image = Image.fromarray(pixels)
    while min(image.size) >= 2 * side:
        image = image.resize((image.width // 2, image.height // 2), BOX)
    scale = side / min(image.size)
    return np.asarray(image.resize((round(image.width * scale), round(image.height * scale)), BICUBIC))


@pytest.mark.parametrize('height', [*range(2, 20), 33, 34, 90, 375, 600])
@pytest.mark.parametrize('width', [*range(2, 20), 49, 50, 93, 500])
def test_halves_are_those_of_a_box_filter_to_the_bit(height, width):
    pixels = noise(height, width, 3)
    expected = np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), BOX))
    assert np.array_equal(halve(pixels), expected)
    assert np.array_equal(
        halve(pixels[..., 0]), np.asarray(Image.fromarray(pixels[..., 0]).resize((width // 2, height // 2), BOX))
    )


@pytest.mark.parametrize(
    'height, width',
    [
        (375, 500),
        (500, 375),
        (376, 500),
        (333, 500),
        (64, 64),
        (63, 64),
        (65, 64),
        (127, 128),
        (128, 128),
        (129, 128),
        (255, 300),
        (256, 256),
        (257, 257),
        (1, 9),
        (9, 1),
        (2, 3),
        (40, 1000),
        (1000, 40),
        (131, 999),
        (999, 131),
    ],
)
@pytest.mark.parametrize('side', [16, 32, 64])
def test_scaling_is_the_reference_within_a_grey_level(height, width, side):
    pixels = noise(height, width, 3)
    found, expected = scale_shorter_side(pixels, side), scaled(pixels, side)
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize('shape', [(50, 40), (50, 40, 1), (7, 5, 1), (20, 16, 1)])
def test_grey_images_keep_their_dimensions(shape):
    pixels = noise(*shape)
    found = scale_shorter_side(pixels, 16)
    assert found.ndim == pixels.ndim
    assert np.array_equal(found.reshape(found.shape[:2]), scaled(pixels.reshape(shape[:2]), 16))


def test_rows_may_lie_apart():
    pixels = noise(40, 60, 3)
    assert np.array_equal(halve(pixels[:, ::2]), halve(pixels[:, ::2].copy()))
    assert np.array_equal(halve(pixels[:, :, ::-1]), halve(pixels)[:, :, ::-1])


@pytest.mark.parametrize('crop', [CenterCropToSquare, RandomCropToSquare])
def test_largest_square_is_one_that_would_be_read_again(crop):
    check_size(crop(MAX_SIDE).size, MAX_SIDE, 'x.png')
    with pytest.raises(InputError, match='x.png says that it has 8193 x 8193 pixels'):
        check_size(MAX_SIDE + 1, MAX_SIDE + 1, 'x.png')
    with pytest.raises(InputError, match='size has to be an integer from 1 to 8192, got 8193'):
        crop(MAX_SIDE + 1)
