import pytest
import torch

from mmcm.registry import DATASETS, MODELS
from mmcm.utils.errors import InputError


@pytest.mark.parametrize('shape', [(1, 9, 8), (3, 8, 8)])
def test_other_images_are_refused(shape):
    classifier = MODELS.build(dict(type='DigitsClassifier'))
    with pytest.raises(InputError, match='DigitsClassifier looks at digits'):
        classifier.extract(torch.zeros(2, *shape, dtype=torch.uint8))


def test_shipped_classifier_reads_the_half_that_it_was_not_trained_on():
    held_out = DATASETS.build(dict(type='DigitsDataset', split='test'))
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    classifier.init_weights()
    images = torch.stack([held_out[index]['inputs'] for index in range(len(held_out))])
    logits = classifier.eval().extract(images).logits
    assert (logits.argmax(1) == torch.tensor(held_out.labels)).float().mean() >= 0.98
