import pytest
import torch
from mmengine.model import BaseModule

from mmcm.evaluation.features.base import Features
from mmcm.registry import DATASETS, METRICS, MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, drawn, measure

CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')


@MODELS.register_module(force=True)
class FirstPixelReader(BaseModule):
    """Reads an image as its first pixel."""

    def extract(self, images):
        return Features(images.float(), torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 4).float())


def samples(*pairs):
    images = [torch.full((1, 2, 2), read, dtype=torch.uint8) for read, _ in pairs]
    return [DataSample.of(label=label, fake_img=image) for (_, label), image in zip(pairs, images)]


def test_accuracy_counts_the_labels_read():
    metric = dict(type='LabelAccuracy', extractor=dict(type='FirstPixelReader'))
    assert measure([metric], samples((0, 0), (1, 1), (2, 3), (3, 3)), 3) == {'label/accuracy': 0.75}


def test_labels_that_predictions_carry_are_counted():
    predictions = [DataSample.of(label=label, pred_label=torch.tensor(read)) for label, read in ((0, 0), (1, 2))]
    assert measure([dict(type='LabelAccuracy')], predictions) == {'label/accuracy': 0.5}


def test_real_digits_read_as_they_are_labelled():
    dataset = DATASETS.build(dict(type='DigitsDataset'))
    drawn = [DataSample.of(label=dataset[index]['gt_label'], fake_img=dataset[index]['inputs'])
             for index in range(len(dataset))]  # yapf: disable
    assert measure([dict(type='LabelAccuracy', extractor=CLASSIFIER)], drawn, 500)['label/accuracy'] > 0.99


def test_images_without_labels_are_told_at_the_first_batch():
    samples = [sample.to_dict() for sample in drawn(3)]
    del samples[1]['gt_label']
    with pytest.raises(InputError, match='needs images with a gt_label'):
        METRICS.build(dict(type='LabelAccuracy', extractor=EXTRACTOR)).process(None, samples)


def test_labels_that_the_classifier_does_not_know_are_told():
    with pytest.raises(InputError, match='labels 0 to 3, and an image has label 7'):
        measure([dict(type='LabelAccuracy', extractor=dict(type='FirstPixelReader'))], samples((1, 1), (2, 7)))


def test_predictions_without_a_reading_need_a_classifier():
    with pytest.raises(InputError, match='needs an extractor'):
        measure([dict(type='LabelAccuracy')], samples((1, 1)))
