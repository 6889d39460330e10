import pytest
import torch

from mmcm.models.latent_autoencoder import LatentAutoencoder
from mmcm.operators import Inpainting
from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.autoencoders import MEAN, STD, autoencoder_config, latent_model, saved_autoencoder
from support.digits import BACKBONE


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('autoencoder')


@pytest.fixture(scope='module')
def reference(folder):
    return saved_autoencoder(folder)


def statistics():
    return (torch.tensor(values).view(1, 4, 1, 1) for values in (MEAN, STD))


@pytest.mark.parametrize(('value_range', 'scaled'), [((-1.0, 1.0), lambda x: x), ((0.0, 1.0), lambda x: 2 * x - 1)])
def test_images_are_those_of_diffusers(folder, reference, value_range, scaled):
    latents = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(1))
    mean, std = statistics()
    with torch.no_grad():
        expected = scaled(reference.decode(latents * std + mean).sample)
    found = MODELS.build(autoencoder_config(folder, value_range=value_range, batch_size=3)).decode(latents)
    assert found.shape == (3, 3, 12, 16)
    assert torch.allclose(found, expected, atol=1e-6)


def test_images_are_decoded_a_few_at_a_time(folder, reference):
    decoder = MODELS.build(autoencoder_config(folder, batch_size=2))
    sizes = []
    decoder.load().decoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    latents = torch.randn(5, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = MODELS.build(autoencoder_config(folder, batch_size=5)).decode(latents)
    assert torch.allclose(decoder.decode(latents), whole, atol=1e-5)
    assert sizes == [2, 2, 1]


def test_latents_have_the_distribution_of_diffusers(folder, reference):
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    autoencoder = MODELS.build(autoencoder_config(folder, value_range=(0.0, 1.0)))
    with torch.no_grad():
        expected = reference.encode((images + 1) / 2).latent_dist
    torch.manual_seed(3)
    found = autoencoder.encode(images)
    torch.manual_seed(3)
    noise = torch.randn(2, 4, 8, 8)
    mean, std = statistics()
    assert torch.allclose(found * std + mean, expected.mean + expected.std * noise, atol=1e-5)


@pytest.mark.parametrize(
    ('changes', 'word'),
    [
        (dict(mean=(0.0,)), 'for each channel'),
        (dict(std=(1.0, 1.0, 1.0, 0.0)), 'autoencoder.std'),
        (dict(mean=(0.0, 0.0, 0.0, float('nan'))), 'autoencoder.mean'),
        (dict(mean='0000'), 'autoencoder.mean'),
        (dict(value_range=(1.0, -1.0)), 'black < white'),
        (dict(batch_size=0), 'autoencoder.batch_size'),
        (dict(downscale=0), 'autoencoder.downscale'),
    ],
)
def test_settings_have_ranges(changes, word):
    with pytest.raises(InputError, match=word):
        LatentAutoencoder(**{**dict(pretrained='x', mean=MEAN, std=STD), **changes})


@pytest.mark.parametrize(
    ('changes', 'word'), [(dict(downscale=8), 'pixels per side'), (dict(mean=(0.0,), std=(1.0,)), 'latent channels')]
)
def test_autoencoder_of_other_latents_is_refused(folder, reference, changes, word):
    with pytest.raises(InputError, match=word):
        LatentAutoencoder(**{**dict(pretrained=str(folder), mean=MEAN, std=STD), **changes}).load()


@pytest.mark.parametrize('name', ['in_channels', 'out_channels'])
def test_autoencoder_of_other_images_is_refused(tmp_path, name):
    saved_autoencoder(tmp_path, **{name: 4})
    with pytest.raises(InputError, match='has 4 channels of images'):
        MODELS.build(autoencoder_config(tmp_path)).load()


def test_model_needs_as_many_channels_as_the_autoencoder(folder):
    config = latent_model(folder)
    config['autoencoder'].update(mean=(0.0,), std=(1.0,))
    with pytest.raises(InputError, match='latents of 4 channels'):
        MODELS.build(config)


def test_model_samples_images_of_its_latents(folder, reference):
    torch.manual_seed(0)
    model = MODELS.build(latent_model(folder)).eval()
    assert (model.latent_shape, model.image_shape) == ((4, 8, 8), (3, 16, 16))
    estimates = []
    images = model.sample(2, [0, 2], callback=lambda step, sigma, x, x0: estimates.append(x0))
    assert estimates[-1].shape == (2, 4, 8, 8)
    torch.testing.assert_close(images, model.autoencoder.decode(estimates[-1]).clamp(-1, 1), rtol=0, atol=1e-6)
    assert not any('autoencoder' in key for key in model.state_dict())


def test_latents_are_not_clipped(folder, reference):
    model = MODELS.build(latent_model(folder)).eval()
    estimates = []
    latents = 5 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    model.sample(1, 0, latents=latents, callback=lambda step, sigma, x, x0: estimates.append(x0))
    assert estimates[-1].abs().max() > 1


def test_training_encodes_the_images(folder, reference):
    objective = dict(type='MeanFlow', times=dict(type='LogitNormalTimes', mean=-0.4, std=1.0, ratio=0.25))
    config = latent_model(folder, objective=objective)
    config['denoiser'] = dict(config['denoiser'], guided=False, guidance=1.0)
    config['denoiser']['backbone'] = dict(BACKBONE, in_channels=4, out_channels=4, num_conditions=1)
    model = MODELS.build(config)
    model.begin_step(0)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    noisy = []
    model.denoiser.backbone.register_forward_pre_hook(lambda module, inputs: noisy.append(inputs[0].shape))
    loss = model.loss(images, DataSample.of(torch.zeros(2, dtype=torch.int64)))
    assert set(noisy) == {(2, 4, 8, 8)}
    assert loss['loss'].isfinite().all()
    loss['loss'].mean().backward()
    assert all(parameter.grad is None for parameter in model.autoencoder.network.parameters())


def test_editing_is_refused_with_a_reason(folder):
    model = MODELS.build(latent_model(folder))
    with pytest.raises(InputError, match='each latent mixes'):
        model.edit(torch.zeros(1, 3, 16, 16), Inpainting(torch.ones(1, 1, 16, 16)))
