import numpy as np
import pytest
import scipy.special
import torch

from mmcm.evaluation.metrics.inception_score import InceptionScore
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, IntegerNetwork, drawn, measure


def score(p, split_size=5000):
    """Return the score of classes with the probabilities `p` (N, K), counted in small batches."""
    metric = InceptionScore(EXTRACTOR, split_size)
    with np.errstate(divide='ignore'):
        log_p = np.maximum(np.log(np.asarray(p, float)), -1e3)
    for start in range(0, len(log_p), 7):
        metric.count(metric.state, log_p[start : start + 7], np.arange(start, min(start + 7, len(log_p))))
    return metric.compute_metrics(metric.state)['score']


def by_definition(p, split_size):
    scores = []
    for start in range(0, len(p), split_size):
        part = p[start : start + split_size]
        scores.append(np.exp((part * (np.log(part) - np.log(part.mean(0)))).sum(1).mean()))
    return np.mean(scores)


def test_images_that_read_as_anything_score_one():
    assert score(np.full((100, 10), 0.1)) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize('classes', [2, 10, 1000])
def test_clear_images_of_all_classes_score_their_number(classes):
    assert score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes, rel=1e-12)


def test_clear_images_of_one_class_score_one():
    assert score(np.eye(10)[np.zeros(50, int)]) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize('number, split_size', [(60, 20), (50, 20), (19, 20), (41, 20)])
def test_score_is_the_mean_of_the_splits_the_last_of_which_may_be_small(number, split_size):
    p = np.random.RandomState(0).dirichlet(np.full(6, 0.3), number)
    assert score(p, split_size) == pytest.approx(by_definition(p, split_size), rel=1e-12)


def test_score_is_that_of_numpy_from_the_logits():
    network = IntegerNetwork()
    network.init_weights()
    logits = network.extract(torch.stack([sample.fake_img for sample in drawn(101)])).logits.double().numpy()
    expected = by_definition(scipy.special.softmax(logits, 1), 40)
    assert 1 < expected < 5
    assert measure([dict(type='InceptionScore', extractor=EXTRACTOR, split_size=40)], drawn(101)) == {
        'inception/score': pytest.approx(expected, rel=1e-6)
    }


def test_splits_have_to_be_some():
    with pytest.raises(InputError, match='split_size'):
        METRICS.build(dict(type='InceptionScore', extractor=EXTRACTOR, split_size=0))
