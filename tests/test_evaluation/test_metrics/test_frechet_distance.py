import numpy as np
import pytest
import scipy.linalg
import torch

from mmcm.evaluation.gaussian import Gaussian, RunningGaussian
from mmcm.evaluation.metrics.frechet_distance import frechet_distance
from mmcm.registry import DATASETS, METRICS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, REAL, IntegerNetwork, MadeUpImages, drawn, measure

CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
DIGITS = dict(type='DigitsDataset')
FRECHET = dict(type='FrechetDistance', extractor=EXTRACTOR, reference=REAL)


def gaussian(features):
    running = RunningGaussian()
    running.update(features)
    return running.result()


def low_rank(seed, number, size, rank):
    random = np.random.RandomState(seed)
    return random.randn(number, rank) @ random.randn(rank, size) + random.randn(size)


def test_distance_of_two_gaussians_is_the_closed_form():
    a = Gaussian(np.array([0.0, 1.0]), np.diag([1.0, 4.0]))
    b = Gaussian(np.array([3.0, 1.0]), np.diag([9.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx(9 + (1 - 3) ** 2 + (2 - 1) ** 2, rel=1e-12)


def test_distance_agrees_with_the_matrix_square_root():
    a, b = low_rank(0, 500, 12, 12), low_rank(1, 400, 12, 12)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * scipy.linalg.sqrtm(cov_a @ cov_b))
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(expected.real, rel=1e-9)


@pytest.mark.parametrize(
    'numbers, rank',
    [((40, 41), 100), ((300, 301), 7), ((20, 300), 100), ((300, 20), 100)],
    ids=['few images', 'few directions', 'few drawn images', 'few real images'],
)
def test_singular_covariances_are_as_good_as_others(numbers, rank):
    a, b = (low_rank(seed, number, 100, rank) for seed, number in enumerate(numbers))
    # In the space of the images the square root is that of a small, regular matrix.
    centred = [(features - features.mean(0)) / np.sqrt(len(features) - 1) for features in (a, b)]
    cross = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    spread = sum(np.square(part).sum() for part in centred)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + spread - 2 * cross
    assert frechet_distance(gaussian(a), gaussian(b)) == pytest.approx(expected, rel=1e-11)
    assert frechet_distance(gaussian(a), gaussian(a)) == pytest.approx(0, abs=1e-9 * spread)


def test_images_that_are_all_the_same_have_a_distance():
    same = Gaussian(np.ones(3), np.zeros((3, 3)))
    assert frechet_distance(same, same) == 0
    assert frechet_distance(same, Gaussian(np.zeros(3), np.eye(3))) == pytest.approx(6)


def test_other_dimensions_cannot_be_compared():
    with pytest.raises(InputError, match='3 and of 4 dimensions'):
        frechet_distance(Gaussian(np.ones(3), np.eye(3)), Gaussian(np.ones(4), np.eye(4)))


@pytest.mark.parametrize('which, key', [('features', 'frechet/distance'), ('spatial', 'frechet/spatial_distance')])
def test_distance_is_that_of_numpy_and_scipy(which, key):
    network = IntegerNetwork()
    network.init_weights()
    made = [
        getattr(network.extract(images), which).flatten(1).double().numpy()
        for images in (torch.stack([sample.fake_img for sample in drawn(101)]), MadeUpImages(77, 1).images)
    ]
    covariances = [np.cov(features, rowvar=False) for features in made]
    expected = np.square(made[0].mean(0) - made[1].mean(0)).sum() + np.trace(
        sum(covariances) - 2 * scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    )
    assert measure([{**FRECHET, 'which': which}], drawn(101)) == {key: pytest.approx(expected, rel=1e-6)}


def test_one_image_has_no_distance():
    with pytest.raises(InputError, match='at least 2 images, got 1'):
        measure([FRECHET], drawn(1))


def test_fewer_images_than_dimensions_are_warned_of_once_with_both_numbers(logged):
    metric = METRICS.build({**FRECHET, 'which': 'spatial'})
    first = measure([metric], drawn(18))
    assert len(logged) == 1 and '18 generated images' in logged[0] and '18 spatial dimensions' in logged[0]
    assert measure([metric], drawn(18)) == first and len(logged) == 1
    measure([metric], drawn(40))
    assert len(logged) == 1


def test_few_real_images_are_warned_of_too(logged):
    measure([{**FRECHET, 'reference': dict(type='MadeUpImages', number=11)}], drawn(40))
    assert len(logged) == 1 and '11 real images' in logged[0] and '12 feature dimensions' in logged[0]


def test_there_are_two_distances():
    with pytest.raises(InputError, match="'features' or 'spatial', got 'pool'"):
        METRICS.build({**FRECHET, 'which': 'pool'})


def of_digits(images):
    samples = [DataSample.of(fake_img=image) for image in images]
    return measure([dict(type='FrechetDistance', extractor=CLASSIFIER, reference=DIGITS)], samples, 500)


def test_real_digits_are_at_no_distance_from_themselves_and_noise_is_far_away():
    dataset = DATASETS.build(DIGITS)
    images = torch.stack([dataset[index]['inputs'] for index in range(len(dataset))])
    assert of_digits(images)['frechet/distance'] == pytest.approx(0, abs=1e-4)
    noise = torch.randint(256, (300, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert of_digits(noise)['frechet/distance'] > 10


@pytest.mark.parametrize('part', ['mean', 'covariance'])
def test_gaussians_that_are_not_finite_have_no_distance(part):
    good = Gaussian(np.zeros(2), np.eye(2))
    bad = good._replace(**{part: getattr(good, part) * np.nan})
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(InputError, match='not finite cannot be compared'):
            frechet_distance(*pair)
