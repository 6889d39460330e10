import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import CenterCropToSize, CenterCropToSquare
from mmcm.datasets.transforms.center_crop import center_crop
from mmcm.utils.errors import InputError

BOX, BICUBIC = Image.Resampling.BOX, Image.Resampling.BICUBIC


def noise(height, width):
    return np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)


def crop(pixels, size):
    return CenterCropToSquare(size).transform(dict(img=pixels))['img']


def test_large_image_is_halved_by_boxes_then_scaled_bicubically():
    pixels = noise(210, 306)
    image = Image.fromarray(pixels).resize((153, 105), BOX).resize((76, 52), BOX).resize((47, 32), BICUBIC)
    assert np.array_equal(crop(pixels, 32), np.asarray(image.crop((7, 0, 39, 32))))


def test_small_image_is_magnified():
    pixels = noise(30, 20)
    image = Image.fromarray(pixels).resize((32, 48), BICUBIC)
    assert np.array_equal(crop(pixels, 32), np.asarray(image.crop((0, 8, 32, 40))))


def test_image_of_the_right_height_is_only_cut():
    pixels = noise(16, 40)
    assert np.array_equal(crop(pixels, 16), pixels[:, 12:28])


def test_repeated_pixels_are_averaged_back():
    pixels = noise(16, 16)
    assert np.array_equal(crop(pixels.repeat(4, axis=0).repeat(4, axis=1), 16), pixels)


@pytest.mark.parametrize('height, width', [(33, 33), (32, 101), (99, 37), (65, 64), (127, 129), (7, 5), (1, 9)])
def test_result_is_a_square_of_the_size(height, width):
    result = crop(noise(height, width), 32)
    assert result.shape == (32, 32, 3) and result.dtype == np.uint8


def crop_to(pixels, size):
    return CenterCropToSize(size).transform(dict(img=pixels))['img']


def test_image_is_scaled_to_cover_both_sides():
    pixels = noise(100, 306)  # halved to 50 x 153, the height decides
    image = Image.fromarray(pixels).resize((153, 50), BOX).resize((98, 32), BICUBIC)
    assert np.array_equal(crop_to(pixels, (32, 48)), np.asarray(image.crop((25, 0, 73, 32))))
    pixels = noise(200, 100)  # halved to 100 x 50, the width decides
    image = Image.fromarray(pixels).resize((50, 100), BOX).resize((48, 96), BICUBIC)
    assert np.array_equal(crop_to(pixels, (32, 48)), np.asarray(image.crop((0, 32, 48, 64))))


@pytest.mark.parametrize('height, width', [(33, 33), (32, 101), (99, 37), (7, 5), (32, 48), (48, 32)])
def test_squares_are_those_of_the_square_crop(height, width):
    pixels = noise(height, width)
    assert np.array_equal(crop_to(pixels, (32, 32)), crop(pixels, 32))
    assert crop_to(pixels, [32, 48]).shape == (32, 48, 3)


def test_image_of_the_size_is_unchanged():
    pixels = noise(32, 48)
    assert np.array_equal(crop_to(pixels, (32, 48)), pixels)


def test_config_of_a_crop_keeps_its_former_name_for_squares():
    assert center_crop(8) == center_crop([8, 8]) == dict(type='CenterCropToSquare', size=8)
    assert center_crop([8, 12]) == dict(type='CenterCropToSize', size=(8, 12))


def test_square_crop_takes_no_pair():
    with pytest.raises(InputError, match='size has to be an integer'):
        CenterCropToSquare((8, 12))
