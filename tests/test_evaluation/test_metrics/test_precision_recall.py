import numpy as np
import pytest
import torch

from mmcm.evaluation.metrics import precision_recall as module
from mmcm.evaluation.metrics.precision_recall import precision_recall
from mmcm.registry import DATASETS, METRICS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, REAL, IntegerNetwork, MadeUpImages, drawn, measure

CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
DIGITS = dict(type='DigitsDataset')


def by_definition(real, drawn, k):
    """Return precision and recall by the paper's definition, one image after the other."""

    def covers(points, centres):
        radii = [np.sort(np.linalg.norm(centres - centre, axis=1))[k] for centre in centres]
        return np.mean([(np.linalg.norm(centres - point, axis=1) <= radii).any() for point in points])

    return covers(drawn, real), covers(real, drawn)


def gaussian(count, size, mean=0.0, spread=1.0, seed=0):
    return np.random.RandomState(seed).normal(mean, spread, (count, size))


@pytest.mark.parametrize('k', [1, 3, 5])
@pytest.mark.parametrize('offset', [0.0, 1000.0])
def test_scores_are_those_of_the_definition(k, offset):
    real, drawn = gaussian(230, 10, offset), gaussian(170, 10, offset + 0.6, seed=1)
    expected = by_definition(real, drawn, k)
    assert precision_recall(real, drawn, k) == pytest.approx(expected, abs=1e-6)
    assert all(0 < value < 1 for value in expected)


def test_blocks_do_not_change_the_scores(monkeypatch):
    real, drawn = gaussian(101, 4), gaussian(57, 4, 0.5, seed=1)
    whole = precision_recall(real, drawn)
    for size in (1, 700, 5656):
        monkeypatch.setattr(module, 'BLOCK', size)
        assert precision_recall(real, drawn) == whole


@pytest.mark.parametrize(
    'features', [gaussian(300, 64, 3.0), np.zeros((20, 3)), np.full((20, 7), 0.1), gaussian(10, 16).repeat(6, axis=0)]
)
def test_a_set_covers_itself_in_any_order(features):
    assert precision_recall(features, features[::-1].copy()) == (1.0, 1.0)


def test_sets_far_apart_cover_nothing():
    assert precision_recall(gaussian(50, 8), gaussian(40, 8, mean=100.0)) == (0.0, 0.0)


def test_what_is_never_drawn_lowers_recall_alone():
    one, other = gaussian(200, 8), gaussian(200, 8, mean=50.0, seed=1)
    precision, recall = precision_recall(np.concatenate([one, other]), one)
    assert precision == 1.0 and recall == 0.5
    assert precision_recall(one, np.concatenate([one, other])) == (0.5, 1.0)


def test_one_image_drawn_again_and_again_covers_next_to_nothing():
    real = gaussian(200, 8)
    assert precision_recall(real, real[:1].repeat(50, axis=0)) == (1.0, 1 / 200)


def test_a_point_on_the_rim_is_covered():
    real = np.arange(4.0)[:, None]  # with one neighbour, all radii are 1
    assert precision_recall(real, np.array([[4.0], [4.5], [100.0], [200.0]]), k=1)[0] == 0.25


@pytest.mark.parametrize('real, drawn, match', [(3, 9, '4 real images, got 3'), (9, 2, '4 generated images, got 2')])
def test_sets_without_a_third_neighbour_are_refused(real, drawn, match):
    with pytest.raises(InputError, match=match):
        precision_recall(gaussian(real, 2), gaussian(drawn, 2))


def test_neighbours_have_to_be_some():
    with pytest.raises(InputError, match='at least 1, got 0'):
        METRICS.build(dict(type='PrecisionRecall', extractor=CLASSIFIER, reference=DIGITS, num_neighbours=0))


def test_half_of_the_digits_covers_the_other_half():
    half = DATASETS.build(dict(type='DigitsDataset', split='test'))
    samples = [DataSample.of(fake_img=half[index]['inputs']) for index in range(len(half))]
    metrics = measure([dict(type='PrecisionRecall', extractor=CLASSIFIER, reference=DIGITS)], samples, 500)
    assert set(metrics) == {'manifold/precision', 'manifold/recall'}
    assert metrics['manifold/precision'] == 1.0  # the half is among the reference
    assert 0.7 < metrics['manifold/recall'] < 1.0


def test_scores_of_images_are_those_of_the_definition():
    network = IntegerNetwork()
    network.init_weights()
    images = torch.stack([sample.fake_img for sample in drawn(101)]), MadeUpImages(77, 1).images
    ours, real = (network.extract(batch).features.double().numpy() for batch in images)
    expected = by_definition(real, ours, 3)
    assert all(0 < value < 1 for value in expected)
    found = measure([dict(type='PrecisionRecall', extractor=EXTRACTOR, reference=REAL)], drawn(101))
    assert list(found.values()) == pytest.approx(expected, rel=1e-6)


def test_some_of_the_real_images_may_be_enough():
    recall = {number: measure([dict(type='PrecisionRecall', extractor=EXTRACTOR, reference=REAL, num_real=number)],
                              drawn(101))['manifold/recall'] for number in (10, 77, None)}  # yapf: disable
    assert recall[10] * 10 == round(recall[10] * 10) and recall[77] == recall[None]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_features_that_are_not_finite_have_no_scores(bad):
    good, broken = gaussian(6, 2), gaussian(6, 2)
    broken[3, 1] = bad
    for pair in ((good, broken), (broken, good)):
        with pytest.raises(InputError, match='features have to be finite'):
            precision_recall(*pair)
