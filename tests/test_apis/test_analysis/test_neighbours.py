import numpy as np
import pytest
import torch

from mmcm.apis.analysis import neighbours
from mmcm.apis.analysis.neighbours import features_with, find_neighbours, neighbour_sheet, report
from mmcm.datasets.image_arrays import ImageArrays
from mmcm.evaluation.features.base import Features
from mmcm.utils.errors import InputError


def dataset(pixels, labels=None):
    pixels = torch.as_tensor(np.asarray(pixels, np.uint8))
    return ImageArrays([pixels], labels, [] if labels is None else ['a', 'b'], 'test')


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 256, (60, 3, 5, 4))


@pytest.fixture
def samples(data):
    near = np.random.default_rng(1).integers(0, 256, (7, 3, 5, 4))
    near[0] = data[41]  # learned by heart
    near[1] = np.clip(data[3] + 2, 0, 255)
    return near


@pytest.mark.parametrize('block', [7, 512])
def test_neighbours_are_those_of_all_pairs(data, samples, block, monkeypatch):
    monkeypatch.setattr(neighbours, 'BLOCK', block)
    found, real = find_neighbours(dataset(samples), dataset(data), k=4, num_real=5)
    distances = np.sqrt(((samples[:, None] - data[None]) ** 2).mean((2, 3, 4)))
    assert np.array_equal(found.indices, distances.argsort(1)[:, :4])
    np.testing.assert_allclose(found.distances, np.sort(distances, 1)[:, :4], rtol=1e-6, atol=0)
    assert found.indices[0, 0] == 41 and found.distances[0, 0] == 0
    assert found.indices[1, 0] == 3 and found.distances[1, 0] < 2.01
    chosen = [0, 15, 30, 44, 59]
    between = np.sqrt(((data[chosen][:, None] - data[None]) ** 2).mean((2, 3, 4)))
    between[range(5), chosen] = np.inf  # no image is its own neighbour
    assert np.array_equal(real.indices, between.argsort(1)[:, :4])
    np.testing.assert_allclose(real.distances, np.sort(between, 1)[:, :4], rtol=1e-6)


def test_features_of_an_extractor(data, samples):

    class Means:
        def extract(self, images):
            return Features(images.float().mean((2, 3)))

    found, _ = find_neighbours(dataset(samples), dataset(data), k=2, describe=features_with(Means()))
    distances = np.linalg.norm(samples.mean((2, 3))[:, None] - data.mean((2, 3))[None], axis=2)
    assert np.array_equal(found.indices, distances.argsort(1)[:, :2])
    np.testing.assert_allclose(found.distances, np.sort(distances, 1)[:, :2], rtol=1e-4, atol=1e-5)


def test_report_sets_samples_against_the_data_itself(data, samples):
    images, training = dataset(samples), dataset(data, [0, 1] * 30)
    found, real = find_neighbours(images, training, k=2, num_real=60)
    numbers = report(found, real, images, training)
    assert numbers['share_nearer'] == pytest.approx(2 / 7)  # the copy, and the one that is nearly one
    assert numbers['real'] == sorted(real.distances[:, 0].tolist())
    assert numbers['samples'][0]['neighbours'][0] == dict(index=41, source='image 41', label=1, distance=0.0)
    assert numbers['median_distance']['samples'] == np.median(found.distances[:, 0])


def test_sheet_begins_with_the_samples_nearest_to_training_images(data, samples):
    images, training = dataset(samples), dataset(data)
    found, _ = find_neighbours(images, training, k=2)
    sheet = neighbour_sheet(found, images, training, rows=2, min_side=1)
    rows = [[images[row]['inputs'], *(training[place]['inputs'] for place in found.indices[row])] for row in (0, 1)]
    assert contains(sheet, rows[0][0]) < contains(sheet, rows[1][0])  # one above the other
    assert all(contains(sheet, tile) for row in rows for tile in row)


def contains(sheet, image):
    """Return where `image` lies on the sheet (row, column)."""
    pixels = image.permute(1, 2, 0).numpy()
    height, width, _ = pixels.shape
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (height, width, 3))[:, :, 0]
    places = np.argwhere((windows == pixels).all((2, 3, 4)))
    assert len(places)
    return tuple(places[0])


def test_too_few_images_and_other_sizes_are_refused(data, samples):
    with pytest.raises(InputError, match='at least 3 training images, got 2'):
        find_neighbours(dataset(samples), dataset(data[:2]), k=2)
    with pytest.raises(InputError, match='4 x 5 pixels in 1 channel cannot .* 4 x 5 pixels in 3 channels'):
        find_neighbours(dataset(samples[:, :1]), dataset(data))
