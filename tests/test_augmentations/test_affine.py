import math

import cv2
import numpy as np
import pytest
import torch

from mmcm.augmentations.affine import SYM6, margins, rotation, scaling, transform, translation

SIZE = (20, 28)  # height, width
# Single precision of a position among 100 fine pixels is 1e-5, times a difference of neighbouring noise below 10.
ROUNDING = 1e-4


def positions(inverse=None):
    """Return x and y of each pixel, (H, W), or the positions that `inverse` (3, 3) leads to."""
    height, width = SIZE
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing='ij')
    points = torch.stack([x, y, torch.ones_like(x)], -1)
    return (points if inverse is None else points @ inverse.T).unbind(-1)[:2]


def image(inverse=None):
    """Return a smooth image, or the same function of the positions that `inverse` (3, 3) leads to."""
    x, y = positions(inverse)
    blob = torch.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 18) - 0.5 * torch.exp(-((x + 5) ** 2 + (y - 1) ** 2) / 18)
    return torch.stack([blob, -0.5 * blob])[None]


def inside(inverse, margin=4):
    """Return which pixels, (H, W), come from at least `margin` pixels within the image."""
    x, y = positions(inverse)
    return (x.abs() < SIZE[1] / 2 - margin) & (y.abs() < SIZE[0] / 2 - margin)


def one(value):
    return torch.tensor([float(value)])


def test_filter_is_that_of_an_orthogonal_wavelet_with_six_vanishing_moments():
    h = np.array(SYM6)
    assert h.sum() == pytest.approx(math.sqrt(2), abs=1e-10)
    for shift in range(6):
        assert h[: 12 - 2 * shift] @ h[2 * shift :] == pytest.approx(float(shift == 0), abs=1e-10)
    for moment in range(6):
        assert (np.arange(-5.0, 7.0) ** moment) @ (h * (-1) ** np.arange(12)) == pytest.approx(0, abs=1e-6)


def test_filters_to_twice_the_resolution_and_back_cancel():
    noise = torch.randn(2, 3, *SIZE)
    torch.testing.assert_close(transform(noise, torch.eye(3).expand(2, 3, 3)), noise, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize('x, y', [(3, 0), (0, -2), (-5, 4)])
def test_translation_by_whole_pixels_moves_the_pixels_and_reflects_at_the_edges(x, y):
    noise = torch.randn(1, 3, *SIZE)
    moved = transform(noise, translation(one(-x), one(-y)))
    padded = np.pad(noise[0].numpy(), ((0, 0), (8, 8), (8, 8)), mode='reflect')
    expected = padded[:, 8 - y : 8 - y + SIZE[0], 8 - x : 8 - x + SIZE[1]]
    np.testing.assert_allclose(moved[0].numpy(), expected, atol=ROUNDING)


@pytest.mark.parametrize(
    'inverse',
    [
        rotation(one(0.4)),
        scaling(one(0.8), one(0.8)),
        scaling(one(1.2), one(1 / 1.2)),
        translation(one(0.5), one(-1.25)),
        rotation(one(-1.1)) @ scaling(one(1.1), one(0.9)) @ translation(one(1.3), one(0.2)),
    ],
    ids=['rotation', 'scaling', 'anisotropy', 'translation', 'all'],
)
def test_smooth_image_is_the_function_at_the_transformed_positions(inverse):
    near = inside(inverse[0])
    assert near.float().mean() > 0.2
    # Linear interpolation over half a pixel errs by |f''| / 32 in each direction, and |f''| <= 1 / 9 here.
    torch.testing.assert_close(transform(image(), inverse)[..., near], image(inverse[0])[..., near], atol=8e-3, rtol=0)


def test_rotation_agrees_with_opencv():
    angle = 0.3
    matrix = rotation(one(angle))
    centre = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2])
    inverse = np.c_[matrix[0, :2, :2].numpy(), centre - matrix[0, :2, :2].numpy() @ centre]
    expected = cv2.warpAffine(
        image()[0, 0].numpy(),
        inverse,
        SIZE[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    near = inside(matrix[0]).numpy()
    np.testing.assert_allclose(transform(image(), matrix)[0, 0].numpy()[near], expected[near], atol=2e-2)


def test_each_image_has_its_own_matrix_whatever_the_others_are():
    both = torch.cat([rotation(one(0.2)), translation(one(9.0), one(0.0))])
    noise = torch.randn(2, 1, *SIZE)
    alone = [transform(noise[index : index + 1], both[index : index + 1]) for index in range(2)]
    torch.testing.assert_close(transform(noise, both), torch.cat(alone), atol=ROUNDING, rtol=0)


def test_margins_reach_no_farther_than_a_reflection():
    assert margins(torch.eye(3)[None], *SIZE) == (6, 6, 6, 6)
    assert margins(translation(one(-100.0), one(0.0)), *SIZE) == (27, 6, 0, 6)
    assert transform(torch.ones(1, 1, 1, 1), torch.eye(3)[None]).shape == (1, 1, 1, 1)
