import numpy as np
import pytest
import torch

from mmcm.evaluation.image_evaluator import ImageEvaluator
from mmcm.evaluation.metrics.sliced_wasserstein import directions, sliced_wasserstein, wasserstein_squares
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, REAL, MadeUpImages, drawn, measure

METRIC = dict(type='SlicedWasserstein', reference=REAL, num_projections=64)


def gaussian(number, size=6, mean=0.0, spread=1.0, seed=0):
    return np.random.RandomState(seed).normal(mean, spread, (number, size))


def in_one_dimension(a, b):
    """Return the squared 2-Wasserstein distance of two lists of numbers, paired as sets of M copies and N copies."""
    return np.mean((np.sort(np.repeat(a, len(b))) - np.sort(np.repeat(b, len(a)))) ** 2)


def pixels(images):
    return images.flatten(1).double().numpy() / 127.5 - 1


@pytest.mark.parametrize('m, n', [(30, 30), (30, 45), (7, 30), (1, 5)])
def test_distance_in_one_dimension_is_that_of_paired_numbers(m, n):
    a, b = torch.from_numpy(gaussian(m, 3)), torch.from_numpy(gaussian(n, 3, 0.5, 2.0, seed=1))
    expected = [in_one_dimension(a[:, i].numpy(), b[:, i].numpy()) for i in range(3)]
    assert wasserstein_squares(a, b).numpy() == pytest.approx(expected, rel=1e-12)


def test_distance_in_one_dimension_is_scipys_of_sorted_numbers():
    # scipy has the distance of first order, which is the mean difference of two sorted lists of shifted numbers.
    stats = pytest.importorskip('scipy.stats')
    a = gaussian(50, 1)
    shifted = a + 3.0
    assert wasserstein_squares(*map(torch.from_numpy, (a, shifted))).sqrt().item() == pytest.approx(
        stats.wasserstein_distance(a[:, 0], shifted[:, 0]), rel=1e-12
    )


def test_a_set_has_no_distance_from_itself_in_any_order_or_number_of_copies():
    features = gaussian(40)
    assert sliced_wasserstein(features, features[::-1].copy()) == 0
    assert sliced_wasserstein(features, features.repeat(3, axis=0)) == 0


def test_a_shift_has_the_distance_of_its_projections():
    features, shift = gaussian(40), gaussian(1, seed=1)
    expected = np.sqrt(np.mean((shift @ directions(128, 6, 0).numpy()) ** 2))
    assert sliced_wasserstein(features + shift, features, 128) == pytest.approx(expected, rel=1e-12)
    # Over all directions, the mean square of the projections is |shift|^2 / D.
    assert sliced_wasserstein(features + shift, features, 20000) == pytest.approx(
        np.linalg.norm(shift) / np.sqrt(6), rel=0.02
    )


def test_scaled_and_shifted_gaussians_have_the_distance_of_the_closed_form():
    # W2^2 of N(0, 1) and N(m, s^2) is m^2 + (1 - s)^2; projected, m is theta m, and s stays.
    number, mean = 20000, np.array([0.5, -0.2, 0.1, 0.0])
    a, b = gaussian(number, 4), gaussian(number, 4, spread=1.5, seed=1) + mean
    expected = np.sqrt(np.mean((mean @ directions(64, 4, 0).numpy()) ** 2) + 0.25)
    assert sliced_wasserstein(a, b, 64) == pytest.approx(expected, rel=0.02)  # 20 000 images: the spread is off by 1 %


def test_directions_are_of_unit_length_and_follow_from_the_seed():
    assert directions(50, 7, 3).norm(dim=0).numpy() == pytest.approx(np.ones(50), rel=1e-12)
    x, y = gaussian(50), gaussian(60, mean=0.3, seed=1)
    first = sliced_wasserstein(x, y, 5, seed=3)
    assert sliced_wasserstein(x, y, 5, seed=3) == first != sliced_wasserstein(x, y, 5, seed=4)


@pytest.mark.parametrize('number', [77, 50])
def test_distance_between_images_is_that_of_numpy(number):
    samples = drawn(number)
    x, y = pixels(torch.stack([sample.fake_img for sample in samples])), pixels(MadeUpImages(77, 1).images)
    theta = directions(64, x.shape[1], 0).numpy()
    expected = np.sqrt(np.mean([in_one_dimension(a, b) for a, b in zip((x @ theta).T, (y @ theta).T)]))
    assert measure([METRIC], samples) == {'sliced_wasserstein/distance': pytest.approx(expected, rel=1e-6)}
    assert expected > 0.01


def test_an_evaluator_for_a_network_leaves_it_the_pixels():
    evaluator = ImageEvaluator([dict(type='SlicedWasserstein'), dict(type='FrechetDistance')], EXTRACTOR, REAL)
    assert [metric.extractor.kind for metric in evaluator.metrics] == ['Pixels', 'IntegerNetwork']


def test_features_of_a_network_can_be_compared():
    by_network = measure([dict(METRIC, features=EXTRACTOR)], drawn(50))
    assert by_network != measure([METRIC], drawn(50))


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match='images of the same size'):
        sliced_wasserstein(gaussian(5, 3), gaussian(5, 4))
    with pytest.raises(InputError, match='images of the same size'):
        measure([dict(METRIC, reference=dict(type='DigitsDataset'))], drawn(20))


@pytest.mark.parametrize('option', ['num_projections', 'num_real'])
def test_numbers_have_to_be_some(option):
    with pytest.raises(InputError, match='num_images' if option == 'num_real' else option):
        METRICS.build({**METRIC, option: 0})
