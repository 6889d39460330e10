"""The same pictures as those of ConsistencyModelPipeline, from the same latents, labels and noises."""

import os

import pytest
import torch

from mmcm.checkpoints.formats.diffusers_folder import read_config, write_folder
from mmcm.checkpoints.formats.diffusers_unet import from_diffusers, to_diffusers
from mmcm.config import read_config as read_shipped
from mmcm.registry import MODELS
from mmcm.samplers import MultistepSampler
from support.diffusers_models import BACKBONE, VARIANTS, backbone, empty, model_config, weights_of
from support.parity import Fixture, ReplayedNoise, adm_config, fill, manifest

TWO_STEPS = {40: 22, 201: 106, 151: 62}  # number of levels: index of the second one


class Noises(ReplayedNoise):
    """Recorded noises in the place of a source of noise."""

    def randn_like(self, x):
        return self(x)


def load(folder):
    """Return our model of a diffusers folder."""
    model = empty(read_config(folder)['model'])
    model.load_checkpoint(str(folder))
    return model


def largest_difference(pipeline, model, labels, timesteps, batch_size=2):
    """Return how far our pictures are from the pipeline's, in [0, 1], where both get the same latents and noises."""
    shape = (batch_size, *model.image_shape)
    generator = torch.Generator().manual_seed(1)
    expected = pipeline(
        batch_size, labels, num_inference_steps=None, timesteps=timesteps, generator=generator, output_type='pt'
    ).images
    assert expected.std() > 0.05

    generator.manual_seed(1)  # it draws the latents, and then a noise in each step, also in the last one
    latents, *noises = (torch.randn(shape, generator=generator) for _ in range(1 + len(timesteps)))
    num_scales = pipeline.scheduler.config.num_train_timesteps
    sampler = MultistepSampler(indices=timesteps[::-1], num_scales=num_scales)
    images = model.sample(batch_size, labels, Noises(noises), latents, sampler)
    return (images / 2 + 0.5 - expected).abs().max().item()


@pytest.mark.parametrize('case', ['onestep', 'twostep_22', 'twostep_106', 'twostep_spaced', 'no_latents'])
def test_measured_pictures_are_drawn_with_weights_that_went_through_diffusers(case):
    fixture = Fixture('pipeline_small')
    settings = fixture.meta['cases'][case]
    config = model_config(adm_config(fixture.meta['unet_kwargs']))
    ours = config['denoiser']['backbone']
    model = MODELS.build(config)
    weights = from_diffusers(ours, to_diffusers(ours, fill(manifest('small_classcond')[0])))
    model.denoiser.backbone.load_state_dict(weights)
    latents = fixture('latents') if settings.get('latents', True) else fixture(case, 'drawn_latents')
    sampler = MultistepSampler(indices=settings['equivalent_openai_ts'][:-1], num_scales=settings['N'])
    images = model.sample(2, fixture('class_labels'), Noises(fixture(case, 'noises')), latents, sampler)
    expected = fixture(case, 'images').permute(0, 3, 1, 2)
    torch.testing.assert_close(images / 2 + 0.5, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize('num_scales', TWO_STEPS)
@pytest.mark.parametrize('name', ['as_released_for_imagenet', 'as_released_for_lsun', 'grey', 'strided_convolutions'])
def test_pipeline_draws_from_what_we_write_what_we_draw(diffusers, tmp_path, name, num_scales):
    ours = backbone(**VARIANTS[name])
    config = model_config(ours)
    config['sampler']['num_scales'] = num_scales
    write_folder(tmp_path / 'x', config, weights_of(ours))
    pipeline, model = diffusers.ConsistencyModelPipeline.from_pretrained(tmp_path / 'x'), load(tmp_path / 'x')
    labels = None if ours['num_classes'] is None else [3, 0]
    for timesteps in ([0], [TWO_STEPS[num_scales], 0], [30, 20, 10, 0]):
        assert largest_difference(pipeline, model, labels, timesteps) < 1e-5


def test_another_range_of_levels_is_followed(diffusers, tmp_path):
    changes = dict(sigma_min=0.05, sigma_max=20.0, rho=5.0)
    config = model_config(sampler=changes, sigma_min=0.05, sigma_data=0.3)
    write_folder(tmp_path / 'x', config, weights_of(BACKBONE))
    pipeline = diffusers.ConsistencyModelPipeline.from_pretrained(tmp_path / 'x')
    model = load(tmp_path / 'x')
    expected = pipeline(2, [3, 0], num_inference_steps=1, generator=torch.Generator().manual_seed(1), output_type='pt')
    latents = torch.randn(2, *model.image_shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.sample(2, [3, 0], latents=latents) / 2 + 0.5, expected.images, atol=1e-5, rtol=0)


@pytest.mark.parametrize('scale_shift', ['scale_shift', 'default'])
def test_we_draw_from_what_save_pretrained_writes_what_the_pipeline_draws(diffusers, tmp_path, scale_shift):
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=('DownBlock2D', 'AttnDownBlock2D'),
        up_block_types=('AttnUpBlock2D', 'UpBlock2D'),
        num_class_embeds=5,
        attention_head_dim=16,
        resnet_time_scale_shift=scale_shift,
        attn_norm_num_groups=32,
    )
    scheduler = diffusers.CMStochasticIterativeScheduler(num_train_timesteps=151)
    pipeline = diffusers.ConsistencyModelPipeline(unet=unet.eval(), scheduler=scheduler)
    pipeline.save_pretrained(tmp_path / 'theirs')
    model = load(tmp_path / 'theirs')
    for timesteps in ([0], [62, 0]):
        assert largest_difference(pipeline, model, [3, 0], timesteps) < 1e-5


def random_weights(shapes):
    """Return weights as `fill` does, but drawn faster."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            value.div_(torch.Size(shape[1:]).numel() ** 0.5)
        else:
            value = 1 + 0.1 * value if key.endswith('weight') else 0.05 * value
        weights[key] = value
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, config, labels, second',
    [
        ('imagenet64', 'consistency_models_8xb256-imagenet1k-onestep-64x64', [145], 22),
        pytest.param(
            'lsun256',
            'consistency_models_8xb32-LSUN-cat-onestep-256x256',
            None,
            17,
            marks=pytest.mark.skipif(
                'MMCM_TEST_LSUN' not in os.environ, reason='takes minutes: MMCM_TEST_LSUN=1 runs it'
            ),
        ),
    ],
)
def test_released_architectures_of_full_size_draw_the_same(diffusers, tmp_path, name, config, labels, second):
    folder = tmp_path / name
    write_folder(folder, read_shipped(config).model, random_weights(manifest(name)[0]))
    pipeline, model = diffusers.ConsistencyModelPipeline.from_pretrained(folder), load(folder)
    for timesteps in ([0], [second, 0]):
        difference = largest_difference(pipeline, model, labels, timesteps, batch_size=1)
        print(f'{name}, {len(timesteps)} steps: the largest difference of a pixel in [0, 1] is {difference:.1e}')
        assert difference < 1e-4
    for path in folder.rglob('*.safetensors'):
        path.unlink()  # gigabytes, of which pytest would keep three runs
