import pytest
from mmengine.evaluator import BaseMetric, Evaluator

from mmcm.evaluation.features.shared import shared_extractor
from mmcm.evaluation.image_evaluator import ImageEvaluator
from mmcm.registry import EVALUATORS, METRICS
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, METRICS_OF_ALL_KINDS, REAL, drawn

SHARED = dict(extractor=EXTRACTOR, reference=REAL)


def told_once(metrics):
    return [{key: value for key, value in metric.items() if key not in SHARED} for metric in metrics]


def measured(evaluator):
    evaluator.process(drawn(60))
    return evaluator.evaluate(60)


def test_metrics_share_what_the_evaluator_names():
    evaluator = EVALUATORS.build(dict(type='ImageEvaluator', metrics=told_once(METRICS_OF_ALL_KINDS), **SHARED))
    assert isinstance(evaluator, ImageEvaluator)
    expected = Evaluator([METRICS.build(metric) for metric in METRICS_OF_ALL_KINDS])
    assert measured(evaluator) == measured(expected)
    frechet, spatial, score, *_ = evaluator.metrics
    assert frechet.extractor is spatial.extractor is score.extractor and frechet.reference is spatial.reference


def test_metric_that_names_its_own_keeps_it():
    own = dict(extractor=dict(EXTRACTOR, seed=1), reference=dict(REAL, number=30))
    frechet, distance = ImageEvaluator(
        [dict(type='FrechetDistance', **own), dict(type='KernelDistance')], **SHARED
    ).metrics
    assert frechet.extractor is shared_extractor(own['extractor']) and frechet.reference.given == own['reference']
    assert distance.extractor is shared_extractor(EXTRACTOR) and distance.reference.given == REAL


def test_metric_without_an_extractor_says_so():
    (accuracy,) = ImageEvaluator([dict(type='LabelAccuracy', extractor=None)], **SHARED).metrics
    assert accuracy.extractor is None


def test_metrics_get_only_what_they_take():

    @METRICS.register_module(force=True)
    class Count(BaseMetric):
        default_prefix = 'number'

        def process(self, data_batch, data_samples):
            self.results += data_samples

        def compute_metrics(self, results):
            return dict(images=len(results))

    assert measured(ImageEvaluator([dict(type='Count')], **SHARED)) == {'number/images': 60}


def test_what_nobody_names_is_missed():
    with pytest.raises(InputError, match='reference'):
        ImageEvaluator([dict(type='FrechetDistance')], extractor=EXTRACTOR)
    assert ImageEvaluator([dict(type='InceptionScore')], extractor=EXTRACTOR).metrics


def test_metric_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="no metric 'NoSuchDistance'"):
        ImageEvaluator([dict(type='NoSuchDistance')], **SHARED)


def test_configs_are_left_as_they_are():
    metrics, shared = [dict(type='FrechetDistance')], dict(SHARED)
    ImageEvaluator(metrics, **shared)
    assert metrics == [dict(type='FrechetDistance')] and shared == SHARED
