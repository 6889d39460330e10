"""Each flag of OpenAI's `image_sample.py` has its counterpart here."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.backbones import ADMUNet
from mmcm.cli.sample import main as sample
from mmcm.cli.sample import parse_args
from mmcm.noise.generators import DeterministicNoise, PerSampleNoise, RequestNoise, SampleNoise, sample_seeds
from mmcm.registry import MODELS, OBJECTIVES
from support.parity import Fixture, adm_config, manifest

PAGE = Path(__file__).parents[2] / 'docs' / 'migration.md'
# In the order of the program's help: of the script, then of model and diffusion.
FLAGS = (
    'training_mode generator clip_denoised num_samples batch_size sampler s_churn s_tmin s_tmax s_noise steps '
    'model_path seed ts sigma_min sigma_max image_size num_channels num_res_blocks num_heads num_heads_upsample '
    'num_head_channels attention_resolutions channel_mult dropout class_cond use_checkpoint use_scale_shift_norm '
    'resblock_updown use_fp16 use_new_attention_order learn_sigma weight_schedule'
).split()


def rows():
    """Return {flag: its counterpart} of the table in docs/migration.md."""
    text = PAGE.read_text(encoding='utf-8')
    table = text[text.index('<!-- openai begins -->') : text.index('<!-- openai ends -->')]
    return {flag: ours.strip().strip('`') for flag, ours in re.findall(r'^\| `(\w+)` \|([^|]*)\|', table, re.MULTILINE)}


def options(*words):
    return parse_args(['--model', 'digits', '--out', 'x.npz', *words])


def test_every_flag_has_a_row_in_the_documentation():
    assert list(rows()) == FLAGS


@pytest.mark.parametrize('flag', [flag for flag, ours in rows().items() if ours.startswith('-')])
def test_counterpart_is_an_option(flag):
    option, *value = rows()[flag].replace('...', '1').split()
    if option == '--sampler':
        if value[0].startswith('type'):
            value = ['type=HeunSampler']
        assert list(options(option, *value).sampler) == [value[0].split('=')[0]]
    else:
        value = value or ([] if option == '--no-clip' else ['7'])
        assert options(option, *value) != options()


@pytest.mark.parametrize('flag', [flag for flag, ours in rows().items() if re.fullmatch(r'[a-z_]+', ours)])
def test_counterpart_is_a_setting_of_the_network(flag):
    assert rows()[flag] in inspect.signature(ADMUNet).parameters


@pytest.mark.parametrize(
    'flag, registry, kind',
    [
        ('training_mode', MODELS, 'KarrasDenoiser'),
        ('image_size', MODELS, 'ADMUNet'),
        ('weight_schedule', OBJECTIVES, 'EDM'),
        ('weight_schedule', OBJECTIVES, 'ConsistencyDistillation'),
        ('weight_schedule', OBJECTIVES, 'ConsistencyTraining'),
    ],
)
def test_counterpart_is_a_setting_of_the_config(flag, registry, kind):
    *_, name = rows()[flag].split('.')
    taken = {parameter for part in registry.get(kind).__mro__[:-1] for parameter in inspect.signature(part).parameters}
    assert rows()[flag].startswith('model.') and name in taken


def test_flag_without_effect_there_has_no_counterpart():
    assert [flag for flag, ours in rows().items() if not ours] == ['use_new_attention_order']


@pytest.mark.parametrize('network', ['imagenet64', 'lsun256'])
def test_networks_of_the_flags_are_the_released_ones(network):
    shapes, content = manifest(network)
    config = adm_config(content['unet_model_args'])
    assert {key: tuple(value.shape) for key, value in build(config).state_dict().items()} == shapes
    size = content['builder_args']['attention_resolutions']
    assert tuple(config['attention_resolutions']) == tuple(int(pixels) for pixels in size.split(','))


def build(config):
    with torch.device('meta'):
        return MODELS.build(config)


def test_learn_sigma_doubles_the_channels_of_the_output():
    kwargs = Fixture('unet_small_uncond').meta['kwargs']
    network = MODELS.build({**adm_config(kwargs), 'out_channels': 6})
    assert network(torch.zeros(1, 3, 32, 32), torch.zeros(1)).shape == (1, 6, 32, 32)


def test_training_mode_chooses_the_boundary_condition():
    boundaries = {
        name: ConsistencyModelInferencer(name, device='cpu').config.model.denoiser.get('boundary', True)
        for name in ('edm_imagenet64_ema', 'cd_imagenet64_l2', 'ct_imagenet64')
    }
    assert boundaries == dict(edm_imagenet64_ema=False, cd_imagenet64_l2=True, ct_imagenet64=True)


def test_kinds_of_generator():
    shape = (4, 1, 3, 3)
    ours, theirs = SampleNoise(sample_seeds(10, 42)[3:7]), PerSampleNoise(10, 42)
    theirs.set_done_samples(3)
    assert torch.equal(ours.randn(*shape), theirs.randn(*shape))  # determ-indiv
    ours, theirs = RequestNoise(torch.Generator().manual_seed(42), 10).rows(slice(3, 7)), DeterministicNoise(10, 42)
    theirs.set_done_samples(3)
    for _ in range(2):
        assert torch.equal(ours.randn(*shape), theirs.randn(*shape))  # determ
    torch.manual_seed(1)
    ours = RequestNoise(torch.default_generator, 4).rows(slice(0, 4)).randn(*shape)
    torch.manual_seed(1)
    assert torch.equal(ours, torch.randn(*shape))  # dummy


@pytest.mark.parametrize(
    'name, kind',
    [
        ('heun', 'HeunSampler'),
        ('dpm', 'DPM2Sampler'),
        ('ancestral', 'EulerAncestralSampler'),
        ('euler', 'EulerSampler'),
        ('progdist', 'ProgressiveDistillationSampler'),
    ],
)
def test_samplers_and_their_steps(name, kind):
    draw = ConsistencyModelInferencer('digits', device='cpu', sampler=dict(type=kind, num_steps=40))
    assert draw.choose_sampler(num_steps=5).num_steps == 5 and kind in PAGE.read_text(encoding='utf-8')


def test_settings_of_the_sampler_change_the_images(tmp_path):
    common = '--model digits -n 2 --labels 3 --device cpu --sampler type=HeunSampler num_steps=3 s_churn=1'.split()
    changes = dict(
        same='',
        s_churn='s_churn=0',
        s_tmin='s_tmin=70',
        s_tmax='s_tmax=1',
        s_noise='s_noise=1.2',
        sigma_min='sigma_min=0.1',
        sigma_max='sigma_max=20',
    )
    images = set()
    for name, change in changes.items():
        sample([*common, *change.split(), '--out', str(tmp_path / f'{name}.npz')])
        with np.load(tmp_path / f'{name}.npz') as file:
            images.add(file['arr_0'].tobytes())
    assert len(images) == len(changes)


def test_ts_are_the_timesteps_backwards_and_without_the_end():
    draw = ConsistencyModelInferencer('cd_imagenet64_lpips', device='cpu')
    measured = Fixture('sampler_multistep')
    assert measured.meta['cases']['cd_imagenet']['sampler_arguments']['ts'] == [0, 22, 39]
    sigmas = measured('cd_imagenet', 'step_t').tolist()
    assert draw.choose_sampler(timesteps=[22, 0]).sigmas == pytest.approx(sigmas, rel=1e-12)


def test_one_run_with_the_flags_of_the_script(tmp_path):
    common = '--model digits --checkpoint digits -n 6 --labels 3 --seed 42 --device cpu'.split()
    runs = dict(
        plain=[],
        small=['--batch-size', '4'],
        two=['--timesteps', '8', '0'],
        half=['--dtype', 'bfloat16'],
        loose=['--no-clip', '--timesteps', '8', '0'],
        other=['--seed', '43'],
        heun=['--sampler', 'type=HeunSampler', 'num_steps=3', 's_churn=1'],
    )
    images = {}
    for name, words in runs.items():
        sample([*common, *words, '--out', str(tmp_path / f'{name}.npz')])
        with np.load(tmp_path / f'{name}.npz') as file:
            images[name] = file['arr_0'].astype(int)
            assert images[name].shape == (6, 8, 8, 1) and file['arr_1'].tolist() == [3] * 6
    assert np.abs(images['plain'] - images['small']).max() <= 1
    assert 0 < np.abs(images['plain'] - images['half']).max() <= 12
    for name in ('two', 'other', 'heun'):
        assert np.abs(images['plain'] - images[name]).max() > 10
    assert (images['two'] != images['loose']).any()
