import torch

from mmcm.apis.editing.tiling import covering_tiles
from mmcm.models.editing import constrain
from mmcm.operators import Colorization, Tiles, tiled
from mmcm.samplers import MultistepSampler


def test_where_tiles_agree_so_does_the_picture():
    """A denoiser of single pixels is the same in tiles."""
    x, sigma = torch.randn(3, 2, 21, 30), torch.tensor([1.0, 2.0, 3.0])
    scaled = tiled(lambda cut, sigma, rows: cut / sigma.view(-1, 1, 1, 1), covering_tiles(21, 30, 8), batch_size=7)
    torch.testing.assert_close(scaled(x, sigma), x / sigma.view(-1, 1, 1, 1))


def test_each_tile_is_denoised_with_the_label_of_its_picture():
    values = torch.tensor([0.1, 0.5, 0.9])
    constant = tiled(
        lambda cut, sigma, rows: values[rows].view(-1, 1, 1, 1).expand_as(cut), covering_tiles(9, 20, 8), 5
    )
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
    for denoise in (exact, tiled(exact, covering_tiles(11, 19, 8), 64)):
        torch.manual_seed(0)
        drawn.append(sampler(constrain(denoise, operator, known), latents, torch.randn_like))
    torch.testing.assert_close(drawn[0], drawn[1], rtol=1e-4, atol=1e-5)


def test_tiles_of_other_proportions_cover_the_image_with_weights_that_add_up():
    x = torch.rand(2, 1, 10, 30)
    tiles = covering_tiles(10, 30, (6, 9))
    seen = []
    scaled = tiled(lambda cut, sigma, rows: seen.append(cut.shape[2:]) or cut / sigma.view(-1, 1, 1, 1), tiles, 4)
    torch.testing.assert_close(scaled(x, torch.tensor([2.0, 4.0])), x / torch.tensor([2.0, 4.0]).view(-1, 1, 1, 1))
    assert set(seen) == {(6, 9)} and tiles.window().shape == (6, 9)
