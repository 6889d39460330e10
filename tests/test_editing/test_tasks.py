import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.editing.tasks import colorization, inpainting, super_resolution
from mmcm.utils.errors import InputError

PIXELS = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
TENSOR = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 127.5 - 1


def grey(pixels):
    return Image.fromarray(np.asarray(pixels, np.uint8))


def test_white_of_the_mask_is_drawn_and_black_is_kept():
    mask = np.zeros((8, 8))
    mask[:, 5:] = 255
    image, operator = inpainting(PICTURE, grey(mask), (3, 8, 8))
    torch.testing.assert_close(image, TENSOR)
    kept = operator.keep(operator.degrade(image), torch.full_like(image, 0.5))
    assert torch.equal(kept[..., :5], image[..., :5]) and (kept[..., 5:] == 0.5).all()


def test_picture_and_mask_are_cropped_alike():
    """A wide picture; of the mask, half of the central square is white."""
    mask = np.zeros((16, 64))
    mask[:, :32] = 255
    _, operator = inpainting(Image.new('RGB', (64, 16)), grey(mask), (3, 8, 8))
    assert (operator.mask[..., :4] > 0.9).all() and (operator.mask[..., 4:] < 0.1).all()


def test_mask_of_another_size_is_refused():
    with pytest.raises(InputError, match='9 x 8 pixels and the picture of 8 x 8'):
        inpainting(PICTURE, grey(np.zeros((8, 9))), (3, 8, 8))


@pytest.mark.parametrize('mask', [np.zeros((8, 8)), np.ones((8, 8))])
def test_mask_without_white_is_refused(mask):
    with pytest.raises(InputError, match='marks nothing'):
        inpainting(PICTURE, grey(mask), (3, 8, 8))


def test_colorization_sees_the_picture():
    image, operator = colorization(PICTURE, (3, 8, 8))
    torch.testing.assert_close(image, TENSOR)
    assert operator.degrade(image).shape == image.shape


def test_small_picture_is_enlarged_pixel_by_pixel():
    image, operator = super_resolution(PICTURE, 4, (3, 32, 32))
    assert operator.factor == 4
    torch.testing.assert_close(image, TENSOR.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3))
    torch.testing.assert_close(operator.degrade(image), image)


@pytest.mark.parametrize('size', [(8, 8), (40, 24)])
def test_any_other_picture_is_brought_to_the_size_and_averaged(size):
    image, operator = super_resolution(PICTURE.resize(size), 4, (3, 8, 8))
    assert image.shape == (1, 3, 8, 8)
    assert operator.degrade(image).unique(dim=-1).shape[-1] == 2 < image.unique(dim=-1).shape[-1]


def test_no_factor_is_refused():
    with pytest.raises(InputError, match='at least 2'):
        super_resolution(PICTURE, 0, (3, 8, 8))
