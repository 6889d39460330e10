import pytest

from mmcm.apis.new.choose import Data, Plan
from mmcm.apis.new.methods import STAGES
from mmcm.apis.new.networks import NETWORKS, backbone_settings
from mmcm.apis.new.write_config import assigned, call_text, config_text, plain, with_augmentation
from mmcm.cli.settings import TRAINING, check_settings
from mmcm.config import read_config
from mmcm.registry import MODELS


def plan(stage='edm', size=(16, 16), classes=(), number=1000, encoded=False, **changes):
    config = dict(type='ImagePack', data_file='/data/x.npz', labelled=bool(classes))
    data = Data(config, number, size, 3, classes, encoded)
    backbone = backbone_settings(NETWORKS[0], size, 3, len(classes) or None)
    return Plan(stage, data, 'tiny', dict(backbone=backbone), **{**dict(batch_size=16, lr=1e-3), **changes})


def read(text, tmp_path):
    path = tmp_path / 'own.py'
    path.write_text(text)
    return read_config(path)


STARTS = dict(cd='work_dirs/own_edm', ect='work_dirs/own_edm')


@pytest.mark.parametrize('stage', STAGES)
@pytest.mark.parametrize('size', [(16, 16), (16, 24)])
def test_config_of_every_stage_is_read_outside_of_the_repository_and_builds(stage, size, tmp_path):
    wanted = plan(stage, size, ('cat', 'dog'), start=STARTS.get(stage), num_steps=300, interval=100, threads=1)
    config = read(config_text(wanted), tmp_path)
    check_settings(config, TRAINING)
    model = MODELS.build(config.model)
    assert model.image_shape == (3, *size) and model.num_classes == 2
    assert model.sampler is not None and model.ema_decays == (wanted.ema_decay,)
    assert config.train_cfg.max_iters == 300 and config.train_cfg.val_interval == 100
    assert config.default_hooks.checkpoint.interval == 100 and config.class_names == ('cat', 'dog')
    assert config.optim_wrapper.optimizer.lr == 1e-3 and config.train_dataloader.batch_size == 16
    assert config.custom_hooks == [dict(type='NumThreadsHook', num_threads=1)]
    dataset = config.train_dataloader.dataset
    assert dataset.type == 'ImageSplit' and dataset.dataset.data_file == '/data/x.npz'


def test_few_images_are_all_trained_on_and_validated_against(tmp_path):
    config = read(config_text(plan(number=30)), tmp_path)
    assert config.train_dataloader.dataset.type == 'ImagePack' and config.val_evaluator.reference == 'train'


def test_model_to_start_from_is_adapted(tmp_path):
    config = read(config_text(plan('ect', start='photo_patches', partial=True)), tmp_path)
    assert config.model.init_from == dict(checkpoint='photo_patches', partial=True)


def test_augmented_training_tells_the_network_and_the_distillation_only_has_its_layer(tmp_path):
    first = plan(augmented=True, threads=None)
    denoiser = with_augmentation(first.denoiser)
    from dataclasses import replace

    edm = read(config_text(replace(first, denoiser=denoiser)), tmp_path)
    assert edm.model.augmentation == dict(type='EDMAugmentation', probability=0.12)
    assert edm.model.denoiser.backbone.augment_dim == 9
    cd = read(config_text(replace(first, stage='cd', start='x', denoiser=denoiser)), tmp_path)
    assert 'augmentation' not in cd.model and cd.model.denoiser.backbone.augment_dim == 9


def test_images_that_are_decoded_get_workers(tmp_path):
    assert read(config_text(plan(encoded=True)), tmp_path).train_dataloader.num_workers > 0
    assert read(config_text(plan()), tmp_path).train_dataloader.num_workers == 0


@pytest.mark.parametrize('value', [(1,), [1, 'a'], dict(a=dict(b=(1, 2)), c='x'), None, 'it\'s "so"', ()])
def test_text_of_a_value_is_that_value(value):
    assert eval(call_text(value)) == value


def test_long_values_take_several_lines_of_the_limited_width():
    names = tuple(f'a class with a long name {number}' for number in range(20))
    text = plain(names, 4)
    assert eval(text) == names and max(map(len, text.splitlines())) <= 120
    lines = assigned('denoiser', dict(backbone=dict.fromkeys(map('setting_{}'.format, range(20)), 1)), 4)
    assert len(lines) > 3 and max(map(len, lines)) <= 120
    assert eval(f'dict({"".join(lines)})')['denoiser']['backbone']['setting_3'] == 1


def test_name_of_a_class_cannot_run_code(tmp_path):
    names = "'), __import__('os').abort(), ('", '{{ fileDirname }}', 'a\nb', '{{_base_.model}}'
    assert read(config_text(plan(classes=names)), tmp_path).class_names == names
    many = tuple(f'{{{{ fileDirname }}}} {number}' for number in range(30))
    assert read(config_text(plan(classes=many)), tmp_path).class_names == many
