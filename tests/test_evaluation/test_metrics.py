import numpy as np
import pytest
import scipy.linalg
import torch
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModule
from mmengine.structures import LabelData

from mmcm.evaluation.features.base import Features
from mmcm.evaluation.metrics.frechet_distance import frechet_distance, moments
from mmcm.registry import DATASETS, METRICS, MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError

CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
DIGITS = dict(type='DigitsDataset')


def as_drawn(dataset, indices):
    return [
        DataSample.of(label=dataset.labels[index], fake_img=dataset.images[index], sample_seed=index)
        for index in indices
    ]


def test_distance_of_two_gaussians_is_the_closed_form():
    a = np.array([0.0, 1.0]), np.diag([1.0, 4.0])
    b = np.array([3.0, 1.0]), np.diag([9.0, 1.0])
    assert frechet_distance(a, b) == pytest.approx(9 + (1 - 3)**2 + (2 - 1)**2)


def test_distance_agrees_with_the_matrix_square_root():
    random = np.random.RandomState(0)
    a, b = random.randn(500, 12), random.randn(400, 12) @ random.randn(12, 12) + 0.3
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance((mean_a, cov_a), (mean_b, cov_b)) == pytest.approx(expected, rel=1e-9)


def test_one_image_has_no_covariance():
    with pytest.raises(InputError, match='at least 2'):
        moments(np.zeros((1, 4)))


def test_real_digits_are_at_no_distance_from_themselves_and_read_as_they_are_labelled():
    dataset = DATASETS.build(DIGITS)
    evaluator = Evaluator([
        METRICS.build(dict(type='FrechetDistance', extractor=CLASSIFIER, reference=DIGITS)),
        METRICS.build(dict(type='LabelAccuracy', extractor=CLASSIFIER))
    ])
    for start in range(0, len(dataset), 500):
        evaluator.process(as_drawn(dataset, range(start, min(start + 500, len(dataset)))))
    metrics = evaluator.evaluate(len(dataset))
    assert metrics['frechet/distance'] == pytest.approx(0, abs=1e-4)
    assert metrics['label/accuracy'] > 0.99


def test_shipped_classifier_reads_the_half_that_it_was_not_trained_on():
    held_out = DATASETS.build(dict(type='DigitsDataset', split='test'))
    classifier = MODELS.build(CLASSIFIER)
    classifier.init_weights()
    logits = classifier.eval().extract(held_out.images).logits
    assert (logits.argmax(1) == torch.tensor(held_out.labels)).float().mean() >= 0.98


def test_noise_is_far_from_digits():
    metric = METRICS.build(dict(type='FrechetDistance', extractor=CLASSIFIER, reference=DIGITS))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 1, 8, 8), generator=generator, dtype=torch.uint8)
    metric.process(None, [dict(fake_img=image) for image in images])
    assert metric.compute_metrics(metric.results)['distance'] > 10


def test_accuracy_counts_the_labels_read():

    class Reader(BaseModule):
        """Reads an image as its first pixel."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def extract(self, images):
            return Features(images, torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 4))

    MODELS.register_module(module=Reader, name='FirstPixelReader', force=True)
    metric = METRICS.build(dict(type='LabelAccuracy', extractor=dict(type='FirstPixelReader')))
    samples = [DataSample(fake_img=torch.full((1, 2, 2), read), gt_label=LabelData(label=torch.tensor([label])))
               for read, label in ((0, 0), (1, 1), (2, 3), (3, 3))]  # yapf: disable
    metric.process(None, [sample.to_dict() for sample in samples])
    assert metric.compute_metrics(metric.results) == dict(accuracy=0.75)
