import numpy as np
import pytest
import torch

from mmcm.models.editing import constrain
from mmcm.operators import Colorization, Tiles, tiled
from mmcm.operators.tiles import around, count_tiles, whole_picture
from mmcm.samplers import MultistepSampler


def covered(tiles):
    count = np.zeros(tiles.shape, int)
    for top, left in tiles.corners:
        assert 0 <= top <= tiles.shape[0] - tiles.size and 0 <= left <= tiles.shape[1] - tiles.size
        count[top : top + tiles.size, left : left + tiles.size] += 1
    return count


@pytest.mark.parametrize('height, width', [(8, 8), (8, 9), (13, 8), (64, 43), (100, 17)])
def test_tiles_cover_a_picture_and_overlap_by_half(height, width):
    tiles = whole_picture(height, width, 8)
    assert covered(tiles).min() >= 1 and count_tiles(height, width, 8) == len(tiles)
    for axis, length in ((0, height), (1, width)):
        places = sorted({corner[axis] for corner in tiles.corners})
        assert places[0] == 0 and places[-1] == length - 8 and all(np.diff(places) <= 4)


def test_small_hole_lies_in_the_middle_of_its_tile():
    mask = np.zeros((50, 60), np.uint8)
    mask[20:24, 30:34] = 255
    assert around(mask, 16).corners == ((14, 24),)
    mask = np.zeros((50, 60), np.uint8)
    mask[0, 59] = 1
    assert around(mask, 16).corners == ((0, 44),)  # as far as the edge of the picture


def test_tiles_follow_a_scratch_and_leave_the_rest_out():
    mask = np.zeros((80, 100), np.uint8)
    for step in range(70):
        mask[step + 5, step + 10] = 200
    count = covered(around(mask, 16))
    assert count[mask > 0].min() >= 1 and count[60:, :30].max() == 0 == count[:20, 60:].max()


def test_holes_that_lie_apart_have_tiles_of_their_own():
    mask = np.zeros((80, 100), np.uint8)
    mask[10:13, 10:13] = mask[60:63, 80:83] = 255
    assert len(around(mask, 16)) == 2
    mask[14:16, 10:13] = 255
    assert len(around(mask, 16)) == 2  # one tile shows both


def test_where_tiles_agree_so_does_the_picture():
    """A denoiser of single pixels is the same in tiles."""
    x, sigma = torch.randn(3, 2, 21, 30), torch.tensor([1.0, 2.0, 3.0])
    scaled = tiled(lambda cut, sigma, rows: cut / sigma.view(-1, 1, 1, 1), whole_picture(21, 30, 8), batch_size=7)
    torch.testing.assert_close(scaled(x, sigma), x / sigma.view(-1, 1, 1, 1))


def test_each_tile_is_denoised_with_the_label_of_its_picture():
    values = torch.tensor([0.1, 0.5, 0.9])
    constant = tiled(lambda cut, sigma, rows: values[rows].view(-1, 1, 1, 1).expand_as(cut), whole_picture(9, 20, 8), 5)
    torch.testing.assert_close(constant(torch.randn(3, 1, 9, 20), torch.ones(3))[:, 0, 4, 10], values)


def test_overlap_is_blended_without_a_seam():
    """Tiles that disagree by 1: from one pixel to the next, there is at most twice the slope of the window."""
    estimates = iter((0.0, 1.0))
    step = tiled(lambda cut, sigma, rows: torch.full_like(cut, next(estimates)), Tiles(8, (8, 12), ((0, 0), (0, 4))), 1)
    row = step(torch.zeros(1, 1, 8, 12), torch.ones(1))[0, 0, 3]
    assert row[0] == 0 and row[-1] == 1 and (row.diff() >= 0).all() and row.diff().max() < 0.5


def test_pixels_without_tiles_are_zero():
    result = tiled(lambda cut, *_: torch.ones_like(cut), Tiles(4, (8, 8), ((2, 2),)), 1)(
        torch.zeros(1, 1, 8, 8), torch.ones(1)
    )
    assert (result[0, 0, 2:6, 2:6] == 1).all() and result.sum() == 16


def test_any_sampler_and_operator_take_tiles():
    """Of Gaussian data, whose denoiser is linear, drawing in tiles is drawing at once, and the brightness is kept."""

    def exact(x, sigma, rows=None):
        return x * (0.25 / (0.25 + sigma**2)).view(-1, 1, 1, 1)

    sampler, operator = MultistepSampler(sigmas=(80.0, 5.0, 1.0)), Colorization()
    known, latents = torch.rand(1, 3, 11, 19), torch.randn(1, 3, 11, 19)
    drawn = []
    for denoise in (exact, tiled(exact, whole_picture(11, 19, 8), 64)):
        torch.manual_seed(0)
        drawn.append(sampler(constrain(denoise, operator, known), latents, torch.randn_like))
    torch.testing.assert_close(drawn[0], drawn[1], rtol=1e-4, atol=1e-5)
