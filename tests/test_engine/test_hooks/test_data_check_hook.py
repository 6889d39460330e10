import random
import re
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcm.checkpoints import parse_config
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.write import write_safetensors
from mmcm.datasets import DigitsDataset, ImageFolder
from mmcm.datasets.cifar import CIFAR10_CLASSES
from mmcm.datasets.class_names import class_names
from mmcm.engine.hooks.data_check_hook import (
    DataCheckHook,
    check_labels,
    check_size,
    look_for_empty_classes,
    look_for_transparency,
    note_class_names,
)
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build
from support.image_folders import write_transparent_folder
from support.runs import config
from support.tiff_files import RAMP, tiff


def refusal(cfg):
    cfg.default_hooks.data_check = dict(type='DataCheckHook')
    with pytest.raises(InputError) as raised:
        Runner.from_cfg(cfg).train()
    return str(raised.value)


def test_data_set_smaller_than_a_batch_is_refused(tmp_path):
    cfg = config(tmp_path)
    cfg.train_dataloader.batch_size = 2000
    assert '1797 images, fewer than one batch of 2000' in refusal(cfg)


def test_batch_of_all_processes_and_accumulated_batches_counts():
    check_size(64, batch_size=8, num_processes=4, counts=2)
    with pytest.raises(InputError, match=r'63 images.*64 \(batch_size 8 x 4 processes x 2 acc.*at most 7'):
        check_size(63, batch_size=8, num_processes=4, counts=2)


def test_labels_beyond_the_classes_of_the_model_are_refused(tmp_path):
    cfg = config(tmp_path)
    cfg.model.denoiser.backbone.num_classes = 9
    message = refusal(cfg)
    assert 'image 9 with 9' in message and 'num_classes=10' in message


def test_model_with_classes_needs_labels():
    model = build()
    with pytest.raises(InputError, match='10 classes, but the images have no label'):
        check_labels(None, model)
    with pytest.raises(InputError, match='image 1 with -1'):
        check_labels([0, -1, 9], model)
    check_labels([0, 1, 9], model)


def test_an_image_that_cannot_be_read_is_refused_before_the_first_step(tmp_path):
    folder = write_transparent_folder(tmp_path / 'images')
    (folder / 'dog' / '3.png').write_bytes(tiff((RAMP / 65535).astype(np.float32)))
    dataset = ImageFolder(str(folder), [dict(type='LoadImage'), dict(type='PackImage')])
    with pytest.raises(InputError, match=r'dog/3\.png is not read, its values are floating point numbers'):
        look_for_transparency(dataset)


@pytest.mark.parametrize(
    'labels, names, expected',
    [
        ([0, 2], ('apple', 'banana', 'cherry'), '1 of 3 classes has no image: banana (1)'),
        ([1, 2], ('0', '1', '2'), '1 of 3 classes has no image: 0; labels that count from 1 have to be less by 1'),
        ([0, 1], ('a', 'b'), '1 of 3 classes has no image: 2'),
        ([0, 1, 2], ('a', 'b', 'c'), None),
        (None, (), None),
    ],
)
def test_classes_that_no_image_has_are_logged(labels, names, expected):
    runner, model = Mock(), Mock(num_classes=3)
    look_for_empty_classes(runner, Mock(labels=labels, metainfo=dict(classes=names)), model)
    assert [call.args[0] for call in runner.logger.warning.mock_calls] == ([expected] if expected else [])


def test_names_of_the_data_reach_the_model_before_it_starts_from_another_one(tmp_path):
    write_transparent_folder(tmp_path / 'images')  # cats and dogs
    source = build(seed=3, denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=3)))
    text = Config(dict(class_names=['dog', 'horse', 'cat'])).pretty_text
    weights = source.denoiser.backbone.state_dict()
    write_safetensors(tmp_path / 'x.safetensors', weights, dict(config=text))
    cfg = config(tmp_path / 'run', iterations=1)
    cfg.default_hooks.data_check = dict(type='DataCheckHook')
    cfg.model.denoiser.backbone.merge(dict(num_classes=2, in_channels=3, out_channels=3))
    cfg.model.init_from = dict(checkpoint=str(tmp_path / 'x.safetensors'), partial=True)
    cfg.train_dataloader.batch_size = 4
    pipeline = [dict(type='LoadImage'), dict(type='PackImage')]
    cfg.train_dataloader.dataset = dict(type='ImageFolder', data_root=str(tmp_path / 'images'), pipeline=pipeline)
    cfg.optim_wrapper.optimizer.lr = 0.0
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert '2 classes by name' in runner.model.initial_load.adapted['label_emb.weight']
    assert torch.equal(runner.model.denoiser.backbone.label_emb.weight, weights['label_emb.weight'][[2, 0]])
    assert runner.cfg.class_names == ['cat', 'dog']


def test_model_without_classes_takes_any_labels():
    check_labels(
        [0, 1000],
        build(
            denoiser=dict(
                type='KarrasDenoiser',
                backbone=dict(
                    type='ADMUNet',
                    image_size=8,
                    base_channels=32,
                    num_res_blocks=1,
                    attention_resolutions=(),
                    channel_mult=(1,),
                ),
            )
        ),
    )


@pytest.mark.parametrize(
    'change, expected',
    [
        (dict(train_cfg=dict(max_iters=9)), 'train_cfg.max_iters, 9'),
        (dict(default_hooks=dict(checkpoint=dict(interval=3))), 'interval of checkpoints, 3'),
    ],
)
def test_run_may_not_end_between_two_steps(tmp_path, change, expected):
    cfg = config(tmp_path, iterations=8)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.merge_from_dict(change)
    message = refusal(cfg)
    assert expected in message and 'Take ' in message and '--micro-batch' in message


@pytest.mark.parametrize(
    'size, channels, expected',
    [(12, 1, '8 x 8 pixels of 1 channels.* 12 x 12 of 1'), (8, 3, '8 x 8 pixels of 1 channels.* 8 x 8 of 3')],
)
def test_images_of_another_shape_than_the_models_are_refused(tmp_path, size, channels, expected):
    cfg = config(tmp_path)
    cfg.model.denoiser.backbone.update(image_size=size, in_channels=channels, out_channels=channels)
    assert re.search(expected, refusal(cfg))


def test_looking_at_an_image_changes_no_random_number(tmp_path):

    def drawn():
        return np.random.rand(), random.random(), torch.rand(1).item()

    class ShakenDigits(DigitsDataset):
        def read(self, position):
            drawn()
            return super().read(position)

    DATASETS.register_module(module=ShakenDigits, force=True)
    cfg = config(tmp_path)
    cfg.train_dataloader.dataset = dict(type='ShakenDigits')
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    numbers = []
    for look in (lambda: None, lambda: DataCheckHook().before_train(runner)):
        np.random.seed(3), random.seed(3), torch.manual_seed(3)
        look()
        numbers.append(drawn())
    assert numbers[0] == numbers[1]


def named_data(tmp_path, **changes):
    """Return the config of a run on pictures of cats and dogs, 8 x 8 pixels, and its hooks as a run has them."""
    cfg = config(tmp_path / 'run')
    cfg.default_hooks.data_check = dict(type='DataCheckHook')
    cfg.train_dataloader.update(
        batch_size=4,
        dataset=dict(
            type='ImageFolder',
            data_root=str(write_transparent_folder(tmp_path / 'images')),
            pipeline=[dict(type='LoadImage'), dict(type='PackImage')],
        ),
    )
    cfg.model.denoiser.backbone.update({**dict(in_channels=3, out_channels=3, num_classes=2), **changes})
    return cfg


def test_classes_of_data_and_model_have_to_be_as_many(tmp_path):
    message = refusal(named_data(tmp_path, num_classes=3))
    assert message.startswith(
        'the data set has 2 classes (cat, dog) and the model 3: set model.denoiser.backbone.num_classes=2'
    )


def test_checkpoints_hold_the_names_of_the_classes(tmp_path):
    cfg = named_data(tmp_path)
    Runner.from_cfg(cfg).train()
    text = Checkpoint(tmp_path / 'run' / 'iter_4.pth').config_text
    assert parse_config(text)['class_names'] == ['cat', 'dog']
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'composited 6 of 6 images with transparency on white' in log.read_text()


@pytest.mark.parametrize(
    'names, given, expected',
    [
        (['cat', 'dog'], None, ['cat', 'dog']),
        (['cat', 'dog'], ['tabby', 'poodle'], ['tabby', 'poodle']),
        ([], None, None),  # data with numbers for names
        ([], 'mnist', 'mnist'),
        ([f'n0{index:07d}' for index in range(1000)], 'imagenet1k', 'imagenet1k'),
        (sorted(CIFAR10_CLASSES), 'cifar10', 'cifar10'),
        (list('abcdefghij'), 'cifar10', list('abcdefghij')),  # a recipe with other data
        (['cat', 'dog'], 'cifar100', ['cat', 'dog']),
    ],
)
def test_names_of_the_config_are_kept_where_they_are_of_the_data(names, given, expected):
    settings = dict(class_names=given)
    number = len(names) or (len(class_names(given)) if given else 10)
    note_class_names(settings, names, Mock(num_classes=number))
    assert settings['class_names'] == expected


def test_names_of_the_config_have_to_be_as_many_as_the_classes():
    with pytest.raises(InputError, match='class_names has 2 names and the model 3 classes'):
        note_class_names(dict(class_names=['a', 'b']), ['cat', 'dog', 'fox'], Mock(num_classes=3))
    note_class_names(dict(class_names=['a', 'b']), ['cat', 'dog', 'fox'], Mock(num_classes=None))
