import pytest
import torch

from mmcm.operators import Colorization
from mmcm.registry import OPERATORS
from mmcm.utils.errors import InputError

IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
ESTIMATES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def brightness(images):
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.5870 * green + 0.1140 * blue) / 0.9999


def test_brightness_is_kept():
    kept = Colorization().keep(IMAGES, ESTIMATES)
    torch.testing.assert_close(brightness(kept), brightness(IMAGES), rtol=0, atol=1e-6)


def test_all_else_is_the_estimates():
    """Two vectors that are orthogonal to the grey axis, without being so to each other."""
    kept = Colorization().keep(IMAGES, ESTIMATES)
    for vector in ((0.5870, -0.2989, 0.0), (0.0, 0.1140, -0.5870)):
        axis = torch.tensor(vector).view(3, 1, 1)
        torch.testing.assert_close((kept * axis).sum(1), (ESTIMATES * axis).sum(1), rtol=0, atol=1e-6)


def test_degraded_picture_is_grey_and_as_bright():
    known = Colorization().degrade(IMAGES)
    assert torch.equal(known[:, 0], known[:, 1]) and torch.equal(known[:, 0], known[:, 2])
    torch.testing.assert_close(brightness(known), brightness(IMAGES), rtol=0, atol=1e-6)


def test_grey_picture_degrades_to_itself():
    grey = IMAGES[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(Colorization().degrade(grey), grey, rtol=0, atol=1e-6)


def test_pictures_of_one_channel_are_refused():
    with pytest.raises(InputError, match='three channels'):
        Colorization().degrade(IMAGES[:, :1])


def test_operator_is_built_from_a_config():
    assert OPERATORS.build(dict(type='Colorization')).degrade(torch.ones(1, 3, 1, 1)).shape == (1, 3, 1, 1)
