import json
import re
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from mmcm.apis import ConsistencyModelInferencer
from mmcm.checkpoints.formats.mmagic_config import translate_config, translate_model
from mmcm.cli.demo import main as demo
from mmcm.cli.test import main as measure
from mmcm.config import read_config
from mmcm.registry import METRICS, MODELS
from mmcm.utils.errors import InputError
from support.parity import Fixture, fill, manifest
from support.pictures import pixels

# As the configs of that implementation are written: ImageNet 64 x 64, two calls.
IMAGENET = """
denoiser_config = dict(
    type='KarrasDenoiser', sigma_data=0.5, sigma_max=80.0, sigma_min=0.002, weight_schedule='uniform')
unet_config = dict(
    type='ConsistencyUNetModel', in_channels=3, model_channels=192, num_res_blocks=3, dropout=0.0, channel_mult='',
    use_checkpoint=False, use_fp16=False, num_head_channels=64, num_heads=4, num_heads_upsample=-1,
    resblock_updown=True, use_new_attention_order=False, use_scale_shift_norm=True)
model = dict(
    type='ConsistencyModel', unet=unet_config, denoiser=denoiser_config, attention_resolutions='32,16,8', batch_size=4,
    class_cond=True, generator='determ', image_size=64, learn_sigma=False,
    model_path='https://openaipublic.blob.core.windows.net/consistency/cd_imagenet64_l2.pt', num_classes=1000,
    sampler='multistep', seed=42, training_mode='consistency_distillation', ts='0,22,39', steps=40,
    data_preprocessor=dict(type='DataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3))
default_scope = 'mmagic'
"""


def imagenet(**changes):
    config = Config.fromstring(IMAGENET, '.py').to_dict()['model']
    config.update(changes)
    return config


def small(**changes):
    """The small class-conditional network of the measurements, in their words."""
    network = dict(
        type='ConsistencyUNetModel',
        in_channels=3,
        model_channels=32,
        num_res_blocks=1,
        num_head_channels=16,
        use_scale_shift_norm=True,
        resblock_updown=True,
    )
    config = dict(
        type='ConsistencyModel',
        unet=network,
        denoiser=dict(type='KarrasDenoiser'),
        image_size=16,
        channel_mult='1,2,2',
        attention_resolutions='8,4',
        class_cond=True,
        num_classes=10,
    )
    config.update(changes)
    return config


def unet(**changes):
    return dict(unet=dict(small()['unet'], **changes))


def weights():
    """The weights of the measurements."""
    backbone = MODELS.build(translate_model(small())[0]).denoiser.backbone
    return fill({key: value.shape for key, value in backbone.state_dict().items()})


def test_imagenet_config_becomes_ours():
    model, checkpoint = translate_model(imagenet())
    ours = read_config('consistency_models_8xb256-imagenet1k-multistep-64x64').model
    expected = {**ours.denoiser.backbone, 'num_heads': 4, 'dropout': 0.0, 'use_checkpoint': False, 'in_channels': 3}
    assert model['denoiser']['backbone'] == {**expected, 'num_classes': 1000}
    assert model['denoiser']['type'] == 'KarrasDenoiser' and model['denoiser']['boundary']
    assert model['sampler']['indices'] == (0, 22) and model['sampler']['num_scales'] == 40
    assert checkpoint.endswith('/cd_imagenet64_l2.pt')
    assert model['requests'] == dict(num_samples=4, batch_size=4, seed=42, noise='DeterministicNoise')


def test_network_of_the_imagenet_config_is_the_released_one():
    with torch.device('meta'):
        backbone = MODELS.build(translate_model(imagenet())[0]).denoiser.backbone
    shapes, _ = manifest('imagenet64')
    assert {key: tuple(value.shape) for key, value in backbone.state_dict().items()} == shapes


def test_lsun_config_becomes_ours():
    network = dict(imagenet()['unet'], model_channels=256, num_res_blocks=2, use_scale_shift_norm=False)
    model, _ = translate_model(imagenet(unet=network, image_size=256, class_cond=False, ts='0,62,150', steps=151))
    ours = read_config('consistency_models_8xb32-LSUN-cat-multistep-256x256').model
    assert {**model['denoiser']['backbone'], **ours.denoiser.backbone} == model['denoiser']['backbone']
    assert model['denoiser']['backbone']['num_classes'] is None and model['sampler']['indices'] == (0, 62)


def test_model_draws_what_the_reference_draws():
    measured = Fixture('pipeline_small')
    model = MODELS.build(translate_model(small(sampler='multistep', ts='0,22,39'))[0])
    model.denoiser.backbone.load_state_dict(weights())
    noises = iter(measured('twostep_22', 'noises'))
    noise = type('Noise', (), dict(randn_like=lambda self, x: next(noises)))()
    images = model.sample(2, measured('class_labels'), noise, measured('latents'))
    torch.testing.assert_close(images, measured('twostep_22', 'openai_sample'), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    'changes, type_, calls',
    [
        (dict(sampler='onestep'), 'MultistepSampler', 1),
        (dict(sampler='multistep', ts='0,22,39'), 'MultistepSampler', 2),
        (dict(sampler='multistep', ts=[0, 62, 100, 150], steps=151), 'MultistepSampler', 3),
        (dict(sampler='heun', steps=18, s_churn=1.0), 'HeunSampler', 35),
        (dict(sampler='dpm', steps=4), 'DPM2Sampler', 8),
        (dict(sampler='euler', steps=4), 'EulerSampler', 4),
        (dict(sampler='ancestral', steps=4), 'EulerAncestralSampler', 4),
        (dict(sampler='progdist', steps=4), 'ProgressiveDistillationSampler', 4),
    ],
)
def test_samplers(changes, type_, calls):
    model = MODELS.build(translate_model(small(**changes))[0])
    assert type(model.sampler).__name__ == type_ and model.sampler.nfe == calls


def test_diffusion_models_have_no_boundary_condition():
    assert not translate_model(small(training_mode='edm'))[0]['denoiser']['boundary']


def test_what_a_config_says_twice_may_agree():
    twice = unet(image_size=16, out_channels=3, num_classes=10, attention_resolutions=(2, 4), channel_mult=(1, 2, 2))
    assert translate_model(small(**twice)) == translate_model(small())


@pytest.mark.parametrize(
    'key, notations',
    [
        ('channel_mult', ['1,2,2', '1, 2, 2', [1, 2, 2], (1, 2, 2), '']),
        ('attention_resolutions', ['2,4', [2, 4], (2, 4), '']),
        ('num_classes', [10, '10', None]),
        ('image_size', [16, '16', None]),
        ('out_channels', [3, '3', None]),
    ],
)
def test_equal_values_agree_in_any_notation(key, notations):
    for value in notations:
        assert translate_model(small(**unet(**{key: value}))) == translate_model(small())


@pytest.mark.parametrize('size', [(16, 24), [24, 16]])
def test_size_may_be_a_pair(size):
    backbone, square = (
        translate_model(small(**changes))[0]['denoiser']['backbone'] for changes in (dict(image_size=size), {})
    )
    assert backbone == {**square, 'image_size': tuple(size)}
    network, (x, labels) = MODELS.build(backbone), (torch.zeros(1, 3, *size), torch.tensor([1]))
    assert network(x, torch.zeros(1), labels).shape == (1, 3, *size)


@pytest.mark.parametrize(
    'changes, expected',
    [
        (dict(smapler='onestep'), "'smapler', nearest: sampler"),
        (unet(model_chanels=3), "'model_chanels', nearest: model_channels"),
        (dict(denoiser=dict(type='KarrasDenoiser', backbone=dict(type='ADMUNet'))), 'cannot be mixed'),
        (dict(denoiser=dict(type='KarrasDenoiser', distillation=False)), 'training_mode'),
        (dict(denoiser=dict(type='TrigFlowDenoiser')), 'KarrasDenoiser'),
        (dict(unet=dict(type='ADMUNet')), 'ConsistencyUNetModel'),
        (unet(num_classes=12), 'model.unet.num_classes is 12'),
        (unet(num_classes='12'), "model.unet.num_classes is '12'"),
        (unet(channel_mult='1,2,4'), "model.unet.channel_mult is '1,2,4'"),
        (unet(channel_mult='1,2'), "model.unet.channel_mult is '1,2'"),
        (unet(image_size='16px'), "model.unet.image_size is '16px'"),
        (unet(attention_resolutions=(8, 4)), 'model.unet.attention_resolutions'),
        (unet(dims=3), 'dims=3'),
        (unet(in_channels=1), 'in_channels=1'),
        (unet(conv_resample=False), 'conv_resample'),
        (unet(num_heads_upsample=2), 'num_heads_upsample'),
        (unet(use_fp16=True), "dtype='float16'"),
        (dict(learn_sigma=True), 'learn_sigma'),
        (dict(class_cond=True, num_classes=0), 'num_classes'),
        (dict(channel_mult=''), 'channel_mult'),
        (dict(attention_resolutions='32,x'), "'32,x'"),
        (dict(attention_resolutions='8,0'), 'from 1 on'),
        (dict(sampler='heunn'), 'heunn'),
        (dict(sampler='multistep'), 'needs ts'),
        (dict(sampler='multistep', ts='0,22'), 'end with steps - 1, here 39'),
        (dict(sampler='multistep', ts='0,22,39', steps=151), 'here 150'),
        (dict(generator='other'), 'determ-indiv'),
        (dict(batch_size=0), 'batch_size'),
        (dict(num_samples='4'), 'num_samples'),
        (dict(sampler='heun', steps='40'), 'steps'),
        (dict(clip_denoised=False), 'clip=False'),
        (dict(data_preprocessor=dict(type='DataPreprocessor', mean=[0.0], std=[255.0])), '127.5'),
    ],
)
def test_what_cannot_be_translated(changes, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        translate_model(small(**changes))


def test_network_is_needed():
    config = small()
    del config['unet']
    with pytest.raises(InputError, match='needs unet'):
        translate_model(config)


def test_translation_changes_nothing_of_what_it_is_given():
    config = dict(model=imagenet(), default_scope='mmagic')
    before = deepcopy(config)
    translated = translate_config(config)
    assert config == before and translated['default_scope'] == 'mmcm'
    assert translate_config(translated) is translated


def test_note_says_once_what_it_became(tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr('mmcm.checkpoints.formats.mmagic_config.print_log', lambda text, **options: notes.append(text))
    path = tmp_path / 'theirs.py'
    path.write_text(IMAGENET.replace('seed=42', 'seed=4711'))
    for _ in range(2):
        read_config(path)
    (note,) = notes
    assert "'indices': (0, 22)" in note and 'cd_imagenet64_l2.pt' in note


@pytest.fixture
def theirs(tmp_path):
    """Path of a config of theirs that names its checkpoint."""
    torch.save(weights(), tmp_path / 'small.pt')
    model = small(model_path=str(tmp_path / 'small.pt'), sampler='multistep', ts='0,22,39')
    Config(dict(model=model, default_scope='mmagic')).dump(tmp_path / 'theirs.py')
    return tmp_path / 'theirs.py'


def test_inferencer_and_demo_take_their_configs(theirs, tmp_path):
    draw = ConsistencyModelInferencer(theirs, device='cpu')
    drawing = draw(labels=[3, 1], seed=7)
    assert drawing.nfe == 2 and drawing.pixels.shape == (2, 3, 16, 16)
    demo(
        [
            '--model-config',
            str(theirs),
            '--label',
            '3',
            '1',
            '--seed',
            '7',
            '--device',
            'cpu',
            '--result-out-dir',
            str(tmp_path / 'a.png'),
        ]
    )
    drawing.save(tmp_path / 'b.png')
    assert pixels(tmp_path / 'a.png') == pixels(tmp_path / 'b.png')


def test_inferencer_takes_a_config_that_was_read_without_us(theirs):
    assert ConsistencyModelInferencer(Config.fromfile(theirs), device='cpu').sampler.nfe == 2


def test_options_speak_their_language(theirs):
    config = read_config(theirs, dict(model=dict(sampler='onestep')))
    assert config.model.sampler.indices == (0,)


@METRICS.register_module()
class MeanBrightness(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['fake_img'].float().mean().item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(brightness=sum(results) / len(results))


def test_measuring_takes_their_configs(theirs, tmp_path):
    theirs.write_text(
        theirs.read_text()
        + """
test_dataloader = dict(
    batch_size=3, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SamplingRequests', num_samples=4, num_classes=10, labels='balanced', seed=7))
test_evaluator = [dict(type='MeanBrightness')]
test_cfg = dict()
"""
    )
    measure(
        [
            str(theirs),
            str(tmp_path / 'small.pt'),
            '--work-dir',
            str(tmp_path / 'work'),
            '--out',
            str(tmp_path / 'scores.json'),
        ]
    )
    drawing = ConsistencyModelInferencer(theirs, device='cpu')(4, 'balanced', seed=7)
    measured = json.loads((tmp_path / 'scores.json').read_text())['scores'][0]['metrics']['brightness']
    assert measured == pytest.approx(drawing.pixels.float().mean().item(), abs=0.01)
