import numpy as np
import pytest

from mmcm.datasets.transforms import RandomAffine
from mmcm.utils.errors import InputError

SQUARE = np.zeros((9, 9, 1), np.uint8)
SQUARE[3:6, 3:6] = 200


def transformed(image=SQUARE, **limits):
    return RandomAffine(**limits).transform(dict(img=image))['img']


def test_without_limits_the_image_stays():
    assert np.array_equal(transformed(), SQUARE)
    colours = np.random.RandomState(0).randint(0, 256, (5, 8, 3)).astype(np.uint8)
    assert np.array_equal(transformed(colours), colours)


@pytest.mark.parametrize(
    'limits, drawn, expected',
    [
        (dict(max_shift=2), [0, 0, 2, -1, 0], np.roll(SQUARE, (-1, 2), (0, 1))),
        (dict(max_rotation=90), [np.pi / 2, 0, 0, 0, 0], SQUARE),  # a square about the centre stays
        (dict(max_rotation=45), [np.pi / 4, 0, 0, 0, 0], None),
    ],
)
def test_numbers_are_drawn_within_the_limits(monkeypatch, limits, drawn, expected):
    def uniform(low, high):
        assert np.array_equal(low, -high) and (np.abs(drawn) <= high + 1e-12).all()
        return np.array(drawn, float)

    monkeypatch.setattr(np.random, 'uniform', uniform)
    result = transformed(**limits)
    if expected is not None:
        assert np.abs(result.astype(int) - expected).max() <= 1
    else:  # the corners of the square leave it
        assert result[3, 3] < 150 and result[4, 2] > 50


@pytest.mark.parametrize('scaling', [0.5, -0.5])
def test_scale_changes_the_size_about_the_centre(monkeypatch, scaling):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: np.array([0, scaling, 0, 0, 0]))
    image = np.zeros((61, 61, 1), np.uint8)
    image[20:41, 20:41] = 255
    result = transformed(image, max_scaling=0.5)[..., 0]
    rows, columns = np.nonzero(result > 127)
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == pytest.approx(21 * (1 + scaling), abs=1)
    assert rows.mean() == columns.mean() == 30


def test_margin_has_the_value():
    image = np.full((4, 4, 3), 255, np.uint8)
    np.random.seed(0)
    assert transformed(image, max_shift=3, value=255).min() == 255
    assert transformed(image, max_shift=3).min() == 0


@pytest.mark.parametrize('limits', [dict(max_shift=-1), dict(max_scaling=1.0)])
def test_limits_are_checked(limits):
    with pytest.raises(InputError, match='limits of at least 0 and a max_scaling below 1'):
        RandomAffine(**limits)
