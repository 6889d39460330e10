import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import RandomCropToSize, RandomCropToSquare
from mmcm.datasets.transforms.shorter_side import scale_shorter_side, scale_to_cover
from mmcm.utils.errors import InputError


def gradient(height, width):
    """Return an image whose colours tell the place: red the row, green the column, of 256."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_crop_is_a_square_out_of_the_scaled_image():
    np.random.seed(0)
    transform, pixels = RandomCropToSquare(16), np.random.randint(0, 256, (50, 70, 3)).astype(np.uint8)
    candidates = [scale_shorter_side(pixels, side) for side in range(16, 21)]
    squares = {
        square[top : top + 16, left : left + 16].tobytes()
        for square in candidates
        for top in range(square.shape[0] - 15)
        for left in range(square.shape[1] - 15)
    }
    for _ in range(20):
        result = transform.transform(dict(img=pixels))['img']
        assert result.shape == (16, 16, 3) and result.tobytes() in squares


def test_shorter_sides_are_all_integers_between_the_fractions(monkeypatch):
    seen = []
    module = 'mmcm.datasets.transforms.random_crop.scale_to_cover'
    monkeypatch.setattr(module, lambda pixels, *sides: seen.append(sides) or scale_to_cover(pixels, *sides))
    np.random.seed(0)
    transform = RandomCropToSquare(13, min_fraction=0.7, max_fraction=0.9)
    for _ in range(200):
        transform.transform(dict(img=gradient(30, 30)))
    assert set(seen) == {(side, side) for side in (15, 16, 17, 18, 19)}  # ceil(13 / 0.9) to ceil(13 / 0.7)


def test_every_corner_is_reached():
    np.random.seed(1)
    transform = RandomCropToSquare(8, min_fraction=0.8, max_fraction=0.8)
    pixels = np.asarray(Image.fromarray(gradient(10, 10)))
    tops = {tuple(transform.transform(dict(img=pixels))['img'][0, 0, :2].tolist()) for _ in range(300)}
    assert tops == {(top * 255 // 10, left * 255 // 10) for top in range(3) for left in range(3)}


def test_global_generator_of_numpy_decides():
    transform, pixels = RandomCropToSquare(8), gradient(40, 50)
    crops = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        crops.append([transform.transform(dict(img=pixels))['img'].tobytes() for _ in range(5)])
    assert crops[0] == crops[1] != crops[2]


@pytest.mark.parametrize('fractions', [(0.0, 1.0), (0.9, 0.8), (0.8, 1.1)])
def test_fractions_that_make_no_crop_are_refused(fractions):
    with pytest.raises(InputError, match='0 < min_fraction <= max_fraction <= 1'):
        RandomCropToSquare(8, *fractions)


def test_crop_of_other_proportions_is_out_of_an_image_scaled_by_one_factor():
    np.random.seed(0)
    transform, pixels = RandomCropToSize((8, 12), min_fraction=0.8), np.random.randint(0, 256, (50, 70, 3), np.uint8)
    candidates = [scale_to_cover(pixels, side, -(-12 * side // 8)) for side in (8, 9, 10)]
    crops = {
        each[top : top + 8, left : left + 12].tobytes()
        for each in candidates
        for top in range(each.shape[0] - 7)
        for left in range(each.shape[1] - 11)
    }
    results = [transform.transform(dict(img=pixels))['img'] for _ in range(20)]
    assert all(result.shape == (8, 12, 3) and result.tobytes() in crops for result in results)


def test_pair_of_equal_sides_draws_the_crops_of_a_square():
    pixels, crops = gradient(40, 50), []
    for transform in (RandomCropToSquare(8), RandomCropToSize((8, 8))):
        np.random.seed(3)
        crops.append([transform.transform(dict(img=pixels))['img'].tobytes() for _ in range(5)])
    assert crops[0] == crops[1]
