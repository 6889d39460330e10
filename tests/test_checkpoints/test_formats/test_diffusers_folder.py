import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmcm.checkpoints.formats.diffusers_folder import (
    is_diffusers_folder,
    read_config,
    read_weights,
    scheduler_config,
    write_folder,
)
from mmcm.checkpoints.weights import read_backbone
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.diffusers_models import BACKBONE, backbone, empty, model_config, same, weights_of
from support.digits import objective_config

WEIGHTS = weights_of(BACKBONE)
STEM = 'unet/diffusion_pytorch_model'


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / 'pipeline', model_config(), WEIGHTS)
    return tmp_path / 'pipeline'


def edit(path, **changes):
    """Change settings in a JSON file; None takes one out."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_weights_come_back_bit_by_bit_in_the_order_of_the_network(folder):
    assert same(read_weights(folder), WEIGHTS)
    assert list(WEIGHTS) == list(empty(BACKBONE).state_dict())


def test_files_are_those_of_save_pretrained(folder, diffusers, tmp_path):
    diffusers.ConsistencyModelPipeline.from_pretrained(folder).save_pretrained(tmp_path / 'theirs')
    for path in (path for path in (tmp_path / 'theirs').rglob('*') if path.is_file()):
        ours = folder / path.relative_to(tmp_path / 'theirs')
        if path.suffix == '.json':
            content, expected = (json.loads(file.read_text()) for file in (ours, path))
            content.pop('_diffusers_version'), expected.pop('_diffusers_version')
            assert {**expected, **content} == expected  # they write their defaults, too
        else:
            assert load_file(ours).keys() == load_file(path).keys()
    assert len(list(folder.rglob('*'))) == len(list((tmp_path / 'theirs').rglob('*'))) == 6


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(max_shard_size='100KB'),
        dict(safe_serialization=False),
        dict(variant='fp16'),
        dict(variant='fp16', max_shard_size='100KB'),
        dict(safe_serialization=False, max_shard_size='100KB'),
    ],
    ids=str,
)
def test_whatever_save_pretrained_writes_is_read(folder, diffusers, tmp_path, options):
    if 'max_shard_size' in options:
        pytest.importorskip('diffusers', minversion='0.30')  # older ones have one file for a pipeline's network
    pipeline = diffusers.ConsistencyModelPipeline.from_pretrained(folder)
    dtype = torch.float16 if 'variant' in options else torch.float32
    pipeline.to(dtype).save_pretrained(tmp_path / 'theirs', **options)
    num_files = len(list((tmp_path / 'theirs/unet').iterdir()))
    assert num_files > 10 if 'max_shard_size' in options else num_files == 2
    assert read_config(tmp_path / 'theirs') == read_config(folder)
    assert same(read_weights(tmp_path / 'theirs'), {key: value.to(dtype) for key, value in WEIGHTS.items()})


@pytest.mark.parametrize('name', ['index.fp16.json', 'fp16.index.json'])
def test_index_of_a_variant_is_read_wherever_it_names_the_variant(folder, name):
    (folder / f'{STEM}.safetensors').rename(folder / 'unet/part.safetensors')
    index = dict(weight_map=dict.fromkeys(WEIGHTS, 'part.safetensors'))
    (folder / f'{STEM}.safetensors.{name}').write_text(json.dumps(index))
    assert same(read_weights(folder), WEIGHTS)


def test_normalisation_that_early_folders_do_not_mention_is_read(folder):
    edit(folder / 'unet/config.json', attn_norm_num_groups=None)
    assert same(read_weights(folder), WEIGHTS)


def test_network_without_that_normalisation_is_refused(folder, diffusers):
    edit(folder / 'unet/config.json', attn_norm_num_groups=None)
    config = diffusers.UNet2DModel.load_config(folder / 'unet')
    diffusers.UNet2DModel.from_config(config).save_pretrained(folder / 'unet')
    with pytest.raises(InputError, match='attn_norm_num_groups None: it would need 32: there is no normalisation'):
        read_weights(folder)


def test_full_precision_is_read_where_there_are_two(folder):
    halves = {key: value.half() for key, value in load_file(folder / f'{STEM}.safetensors').items()}
    save_file(halves, folder / f'{STEM}.fp16.safetensors')
    assert same(read_weights(folder), WEIGHTS)


def test_network_alone_is_read(folder):
    assert is_diffusers_folder(folder / 'unet')
    assert same(read_weights(folder / 'unet'), WEIGHTS)
    assert read_config(folder / 'unet') == read_config(folder)


def test_config_says_what_differs_from_our_defaults(folder):
    assert read_config(folder) == dict(model=model_config(read_config(folder)['model']['denoiser']['backbone']))
    changes = dict(sigma_min=0.01, sigma_max=50.0, rho=5.0, sigma_data=0.25, num_train_timesteps=151)
    edit(folder / 'scheduler/scheduler_config.json', **changes)
    model = read_config(folder)['model']
    assert model['denoiser']['sigma_min'] == 0.01 and model['denoiser']['sigma_data'] == 0.25
    assert model['sampler'] == dict(
        type='MultistepSampler', indices=(0,), num_scales=151, sigma_min=0.01, sigma_max=50.0, rho=5.0
    )
    assert scheduler_config(model) == {**changes, 's_noise': 1.0, 'clip_denoised': True}


@pytest.mark.parametrize('num_classes, names', [(1000, 'imagenet1k'), (10, None), (None, None)])
def test_thousand_classes_are_those_of_imagenet(tmp_path, num_classes, names):
    ours = backbone(num_classes=num_classes)
    write_folder(tmp_path / 'x', model_config(ours), weights_of(ours))
    assert read_config(tmp_path / 'x').get('class_names') == names


@pytest.mark.parametrize(
    'sampler, expected',
    [
        (None, 40),
        (dict(type='mmcm.MultistepSampler', indices=(0, 106), num_scales=201), 201),
        (dict(type='MultistepSampler', sigmas=(80.0, 1.0)), 40),
    ],
)
def test_schedule_is_that_of_the_sampler(tmp_path, sampler, expected):
    model = {key: value for key, value in {**model_config(), 'sampler': sampler}.items() if value is not None}
    write_folder(tmp_path / 'x', model, WEIGHTS)
    scheduler = json.loads((tmp_path / 'x/scheduler/scheduler_config.json').read_text())
    assert scheduler['num_train_timesteps'] == expected


@pytest.mark.parametrize(
    'model, match',
    [
        (model_config(boundary=False), r'not from a diffusion model \(boundary=False\)'),
        (dict(denoiser=dict(type='TrigFlowDenoiser', backbone=BACKBONE)), 'not from a TrigFlowDenoiser'),
        (dict(model_config(), sampler=dict(type='HeunSampler', num_steps=18)), "got sampler 'HeunSampler'"),
        (model_config(sigma_min=0.01), 'the denoiser has 0.01, the sampler 0.002'),
        (model_config(backbone(channel_mult=(2, 2))), 'channel_mult'),
    ],
)
def test_model_that_the_pipeline_cannot_draw_from_is_refused_and_nothing_written(tmp_path, model, match):
    with pytest.raises(InputError, match=match):
        write_folder(tmp_path / 'x', model, WEIGHTS)
    assert not list(tmp_path.iterdir())


def test_folder_that_fails_half_way_does_not_appear(tmp_path):
    with pytest.raises(KeyError):
        write_folder(tmp_path / 'x', model_config(), dict(list(WEIGHTS.items())[:-1]))
    assert not list(tmp_path.iterdir())


def test_other_folders_are_none(tmp_path, folder):
    assert is_diffusers_folder(folder) and is_diffusers_folder(str(folder))
    for name, content in (('config.json', '{"a": 1}'), ('config.json', '[1]'), ('config.json', '{'), ('x', '')):
        (tmp_path / name).write_text(content)
        assert not is_diffusers_folder(tmp_path)
    assert not is_diffusers_folder(folder / 'model_index.json')
    assert not is_diffusers_folder(tmp_path / 'missing')


@pytest.mark.parametrize(
    'spoil, match',
    [
        (lambda folder: edit(folder / 'model_index.json', _class_name='DDPMPipeline'), 'pipeline holds a DDPMPipeline'),
        (
            lambda folder: edit(folder / 'unet/config.json', _class_name='UNet2DConditionModel'),
            'unet/config.json describes a UNet2DConditionModel; .* has a UNet2DModel',
        ),
        (
            lambda folder: edit(folder / 'scheduler/scheduler_config.json', _class_name='DDIMScheduler'),
            'a DDIMScheduler',
        ),
        (lambda folder: shutil.rmtree(folder / 'unet'), 'unet/config.json is missing: the folder is not whole'),
        (
            lambda folder: shutil.rmtree(folder / 'scheduler'),
            'scheduler_config.json is missing: the folder is not whole',
        ),
        (lambda folder: (folder / f'{STEM}.safetensors').unlink(), 'unet has no weights: .*safetensors .* is missing'),
        (lambda folder: (folder / f'{STEM}.safetensors').write_bytes(b'\xff'), 'safetensors is no whole checkpoint'),
        (lambda folder: (folder / 'unet/config.json').write_text('{"a'), 'unet/config.json cannot be read as JSON'),
        (lambda folder: (folder / 'unet/config.json').write_text('[]'), 'unet/config.json holds no settings'),
        (lambda folder: edit(folder / 'unet/config.json', freq_shift=1), 'pipeline: .* freq_shift 1'),
        (
            lambda folder: edit(folder / 'unet/config.json', num_class_embeds=None),
            'pipeline: .* not expected, class_emb',
        ),
    ],
)
def test_folder_that_cannot_be_read_is_refused(folder, spoil, match):
    spoil(folder)
    with pytest.raises(InputError, match=match):
        read_backbone(folder)


@pytest.mark.parametrize('changes', [dict(clip_denoised=False), dict(s_noise=1.01)])
def test_sampling_that_we_have_not_is_refused(folder, changes):
    edit(folder / 'scheduler/scheduler_config.json', **changes)
    with pytest.raises(InputError, match=f'{next(iter(changes))}=.*set it to'):
        read_config(folder)


def test_part_outside_of_the_folder_is_not_read(folder, tmp_path):
    shutil.move(folder / f'{STEM}.safetensors', tmp_path / 'elsewhere.safetensors')
    index = dict(weight_map={'conv_in.weight': '../../elsewhere.safetensors'})
    (folder / f'{STEM}.safetensors.index.json').write_text(json.dumps(index))
    with pytest.raises(InputError, match='no checkpoint file .*unet/elsewhere.safetensors'):
        read_weights(folder)


def test_average_is_none_of_a_folder(folder):
    assert same(read_backbone(folder), WEIGHTS)
    with pytest.raises(InputError, match="one set of weights and no averages: leave out the choice of '0.999'"):
        read_backbone(folder, '0.999')


def test_folder_is_a_checkpoint_and_a_start(folder):
    model = MODELS.build(dict(model_config(), objective=objective_config(), init_from=str(folder)))
    model.init_weights()
    assert same(model.denoiser.backbone.state_dict(), WEIGHTS)
    model = MODELS.build(model_config())
    model.load_checkpoint(str(folder))
    assert same(model.denoiser.backbone.state_dict(), WEIGHTS)


def test_folder_is_no_teacher_as_its_model_is_no_diffusion_model(folder):
    objective = dict(
        type='ConsistencyDistillation',
        curriculum=dict(type='FixedCurriculum', num_scales=18, target_decay=0.5),
        distance=dict(type='L2'),
    )
    model = MODELS.build(dict(model_config(), objective=objective, teacher=dict(checkpoint=str(folder))))
    with pytest.raises(InputError, match='was trained with model.denoiser.boundary=True, and the config has False'):
        model.init_weights()
