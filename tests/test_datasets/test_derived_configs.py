import pytest

from mmcm.datasets.derived_configs import held_out, unmirrored
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError


@pytest.mark.parametrize(
    'config, split',
    [
        (dict(type='DigitsDataset', split='train'), 'test'),
        (dict(type='PhotoPatches'), 'test'),
        (dict(type='MNIST', data_root='x'), 'test'),
        (dict(type='CIFAR10', data_root='x', labelled=False), 'test'),
        (dict(type='CIFAR100', data_root='x', split='train'), 'test'),
        (dict(type='ImageNet64', data_root='x'), 'val'),
        (dict(type='ImageSplit', dataset=dict(type='DigitsDataset'), held_out=0.1), 'held_out'),
    ],
)
def test_held_out_images_are_another_split_of_the_same_data(config, split):
    assert held_out(config) == {**config, 'split': split}


def test_held_out_images_are_not_mirrored():
    inner = dict(
        type='ImageFolder', data_root='x', flip=True, pipeline=[dict(type='RandomFlip'), dict(type='PackImage')]
    )
    found = held_out(dict(type='ImageSplit', dataset=inner))
    assert found['dataset'] == dict(type='ImageFolder', data_root='x', flip=False, pipeline=[dict(type='PackImage')])
    assert inner['flip'] is True
    assert unmirrored(dict(type='CIFAR10', flip=True)) == dict(type='CIFAR10', flip=False)


def test_no_image_of_the_digits_is_trained_on_and_held_out():
    train = DATASETS.build(dict(type='DigitsDataset', split='train'))
    test = DATASETS.build(held_out(dict(type='DigitsDataset', split='train')))
    assert len(train) + len(test) == 1797


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(type='DigitsDataset'), "split='all' holds no images out.*split='train'.*reference='train'"),
        (dict(type='MNIST', data_root='x', split='test'), "split='test' holds no images out"),
        (dict(type='ImageFolder', data_root='x'), "ImageFolder has no images that are held out.*'ImageSplit'"),
        (dict(type='Unknown'), 'Unknown has no images that are held out'),
    ],
)
def test_data_that_hold_nothing_out_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        held_out(config)
