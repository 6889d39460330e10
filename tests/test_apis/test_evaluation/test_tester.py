import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmcm.apis.evaluation.tester import build_evaluator, check_ahead, evaluator_config, fingerprints_of
from mmcm.utils.errors import InputError

TRAINING = dict(
    type='CIFAR10',
    data_root='data/cifar10',
    flip=True,
    pipeline=[dict(type='RandomFlip', prob=0.5), dict(type='PackImage')],
)
NOT_MIRRORED = dict(TRAINING, flip=False, pipeline=[dict(type='PackImage')])
FRECHET = dict(
    type='FrechetDistance',
    extractor=dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'),
)
DIGITS = dict(type='DigitsDataset')


def config(evaluator, dataset=TRAINING):
    return Config(dict(train_dataloader=dict(dataset=dataset), test_evaluator=evaluator))


def test_training_data_are_a_reference_without_mirror_images():
    given = config(dict(type='ImageEvaluator', reference='train', metrics=[FRECHET]))
    assert evaluator_config(given) == dict(type='ImageEvaluator', reference=NOT_MIRRORED, metrics=[FRECHET])
    assert given.test_evaluator.reference == 'train' and given.train_dataloader.dataset.flip


@pytest.mark.parametrize(
    'evaluator',
    [
        dict(type='ImageEvaluator', metrics=[dict(FRECHET, reference='train')]),
        [dict(FRECHET, reference='train')],
        dict(FRECHET, reference='train'),
    ],
    ids=['in an evaluator', 'in a list', 'alone'],
)
def test_metrics_may_name_them_each(evaluator):
    found = evaluator_config(config(evaluator))
    metric = (
        found
        if isinstance(found, dict) and 'metrics' not in found
        else (found['metrics'] if isinstance(found, dict) else found)[0]
    )
    assert metric == dict(FRECHET, reference=NOT_MIRRORED)


@pytest.mark.parametrize(
    'evaluator',
    [None, dict(FRECHET, reference='imagenet64'), [dict(FRECHET, reference=DIGITS), dict(type='LabelAccuracy')]],
)
def test_other_references_stay_as_they_are(evaluator):
    assert evaluator_config(config(evaluator)) == evaluator


def test_folder_or_config_is_a_reference_by_its_name(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((8, 8, 3), np.uint8))
    folder = evaluator_config(config(dict(FRECHET, reference=str(tmp_path))))['reference']
    assert folder['type'] == 'ImageFolder' and folder['data_root'] == str(tmp_path)
    assert evaluator_config(config(dict(FRECHET, reference='cd_1xb32_digits-8x8')))['reference'] == DIGITS
    (tmp_path / 'images.zip').write_bytes(b'no zip')
    with pytest.raises(InputError, match='images.zip'):
        evaluator_config(config(dict(FRECHET, reference=str(tmp_path / 'images.zip'))))


def test_what_is_no_data_set_is_left_to_the_reference():
    found = [evaluator_config(config(dict(FRECHET, reference=name)))['reference'] for name in (5, 'x.npz', 'nowhere')]
    assert found == ['5', 'x.npz', 'nowhere']


@pytest.mark.parametrize(
    'number, metric, match',
    [
        (3, 'PrecisionRecall', 'PrecisionRecall needs at least 4 images to measure, got 3'),
        (1, 'FrechetDistance', 'at least 2 images'),
        (1, 'KernelDistance', 'at least 2 images'),
    ],
)
def test_too_few_images_are_told_by_their_number(number, metric, match):
    metrics = build_evaluator([dict(FRECHET, type=metric, reference=DIGITS)]).metrics
    check_ahead(metrics, number + 1)
    with pytest.raises(InputError, match=match):
        check_ahead(metrics, number)


def test_training_data_that_are_not_there_are_missed():
    with pytest.raises(InputError, match="reference='train'.*no train_dataloader.dataset"):
        evaluator_config(Config(dict(test_evaluator=dict(type='ImageEvaluator', reference='train', metrics=[]))))


def test_one_metric_is_built_alone():
    evaluator = dict(type='ImageEvaluator', reference=DIGITS, metrics=[FRECHET, dict(type='LabelAccuracy')])
    assert [metric.prefix for metric in build_evaluator(evaluator).metrics] == ['frechet', 'label']
    assert [metric.prefix for metric in build_evaluator(evaluator, 'label/accuracy').metrics] == ['label']
    with pytest.raises(InputError, match="no metric 'kernel/distance': its metrics begin with frechet, label"):
        build_evaluator(evaluator, 'kernel/distance')


def test_fingerprints_are_those_of_networks_and_references():
    metrics = build_evaluator([dict(FRECHET, reference=DIGITS), dict(type='LabelAccuracy')]).metrics
    found = fingerprints_of(metrics)
    assert found == dict(
        frechet=dict(extractor=metrics[0].extractor.fingerprint, reference=metrics[0].reference.fingerprint)
    )
    other = fingerprints_of(build_evaluator([dict(FRECHET, reference=dict(DIGITS, split='test'))]).metrics)
    assert other['frechet']['extractor'] == found['frechet']['extractor']
    assert other['frechet']['reference'] != found['frechet']['reference']
