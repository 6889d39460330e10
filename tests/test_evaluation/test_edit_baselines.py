import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.evaluation.edit_baselines import bicubic, mean_chroma, mean_of_known, middle_mask, standard_edits, telea
from mmcm.operators import Colorization, Inpainting, SuperResolution

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
ROUNDED = 3.5 / 127.5  # OpenCV rounds at each step inwards, and a little is added each time


def test_bicubic_is_that_of_pillow():
    known = SuperResolution(4).degrade(IMAGES)
    for plane, enlarged in zip(known[0].numpy(), bicubic(known, 4)[0].numpy()):
        expected = Image.fromarray(plane[::4, ::4]).resize((32, 32), Image.Resampling.BICUBIC)
        assert np.abs(enlarged - np.asarray(expected)).max() < 1e-5


def test_mean_chroma_keeps_the_brightness_and_is_right_for_pictures_of_one_chroma():
    colour = torch.tensor([0.3, -0.1, -0.4])
    known = Colorization().degrade(IMAGES)
    coloured = mean_chroma(known, colour)
    assert torch.allclose(Colorization().degrade(coloured), known, atol=1e-6)
    assert not torch.allclose(coloured, known, atol=0.1)
    tinted = torch.rand(1, 1, 32, 32) + colour.view(1, 3, 1, 1)
    assert torch.allclose(mean_chroma(Colorization().degrade(tinted), colour), tinted, atol=1e-6)


def test_middle_mask_of_other_proportions_is_a_quarter_too():
    mask = middle_mask((16, 24))
    assert mask.shape == (1, 1, 16, 24) and mask.mean() == 0.25 and mask[0, 0, 4:12, 6:18].all()


def test_middle_mask_is_a_quarter_in_the_middle():
    mask = middle_mask(32)
    assert mask.shape == (1, 1, 32, 32) and mask.mean() == 0.25
    assert mask[0, 0, 8:24, 8:24].min() == 1 and torch.equal(mask, mask.flip(-1)) and torch.equal(mask, mask.mT)


def test_mean_of_the_known_has_no_share_of_what_is_unknown():
    mask = middle_mask(32)
    filled = mean_of_known(IMAGES, mask)
    outside = IMAGES[1, 2][mask[0, 0] == 0]
    assert torch.allclose(filled[1, 2, 8:24, 8:24], outside.mean().expand(16, 16))
    assert torch.equal(filled[1, 2][mask[0, 0] == 0], outside)


def test_telea_fills_a_flat_picture_with_its_colour_and_keeps_what_is_known():
    flat = torch.tensor([-0.6, 0.2, 1.0]).view(1, 3, 1, 1).expand(2, 3, 32, 32)
    mask = middle_mask(32)
    known = Inpainting(mask).degrade(flat)
    assert (telea(known, mask) - flat).abs().max() < ROUNDED
    outside = mask.expand_as(IMAGES) == 0
    filled = telea(Inpainting(mask).degrade(IMAGES), mask)
    assert (filled - IMAGES)[outside].abs().max() <= 0.5 / 127.5 + 1e-6  # they become 8 bit


def test_telea_fills_grey_pictures_too():
    grey = torch.full((1, 1, 16, 16), 0.2)
    mask = middle_mask(16)
    assert (telea(Inpainting(mask).degrade(grey), mask) - grey).abs().max() < ROUNDED


@pytest.mark.parametrize('name', ['colorize', 'super-resolve', 'inpaint'])
def test_standard_edits_have_baselines_for_what_they_know(name):
    edit = standard_edits(32, torch.zeros(3))[name]
    known = edit.operator.degrade(IMAGES)
    for fill in edit.baselines.values():
        assert fill(known).shape == IMAGES.shape
    assert (edit.operator.keep(known, IMAGES) - IMAGES).abs().max() < 1e-5


def test_grey_pictures_are_not_coloured():
    assert list(standard_edits(16, None)) == ['super-resolve', 'inpaint']
