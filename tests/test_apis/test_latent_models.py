"""Models of latents do what others do, but for editing."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.analysis.model_facts import described, model_facts
from mmcm.apis.convert import convert
from mmcm.apis.editing import edit_picture
from mmcm.apis.export import FORMATS, export
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.zoo.autoencoders import AUTOENCODERS
from support.autoencoders import latent_model, saved_autoencoder

NAME = 'sd-vae-ft-mse'


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """Return a config, and weights for it; the known autoencoder is a small one."""
    folder = tmp_path_factory.mktemp('latents')
    saved_autoencoder(folder / 'vae')
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(AUTOENCODERS, NAME, str(folder / 'vae'))
        config = latent_model(folder / 'vae')
        config['autoencoder']['pretrained'] = NAME
        Config(dict(model=config)).dump(folder / 'own.py')
        torch.manual_seed(0)
        torch.save(MODELS.build(config).denoiser.backbone.state_dict(), folder / 'own.pth')
        yield folder / 'own.py', folder / 'own.pth'


def pixels(inferencer, **request):
    return np.stack([np.asarray(image) for image in inferencer(2, seed=3, **request).images])


def test_images_are_decoded_latents(own):
    inferencer = ConsistencyModelInferencer(*own, device='cpu')
    images = pixels(inferencer, labels=[0, 1])
    assert images.shape == (2, 16, 16, 3) and images.std() > 1
    noise = torch.zeros(2, 4, 8, 8)
    assert np.array_equal(*pixels(inferencer, labels=1, latents=noise))
    with pytest.raises(InputError, match=r'\(2, 4, 8, 8\)'):
        inferencer(2, labels=1, latents=torch.zeros(2, 3, 16, 16))


def test_digest_tells_autoencoders_apart(own, tmp_path, monkeypatch):
    digest = ConsistencyModelInferencer(*own, device='cpu').weights_digest
    assert ConsistencyModelInferencer(*own, device='cpu').weights_digest == digest
    saved_autoencoder(tmp_path, layers_per_block=2)
    monkeypatch.setitem(AUTOENCODERS, NAME, str(tmp_path))
    assert ConsistencyModelInferencer(*own, device='cpu').weights_digest != digest


def test_converted_file_knows_its_autoencoder(own, tmp_path):
    convert(own[1], tmp_path / 'x.safetensors', 'mmcm', config=own[0])
    found = ConsistencyModelInferencer(tmp_path / 'x.safetensors', device='cpu')
    expected = ConsistencyModelInferencer(*own, device='cpu')
    assert np.array_equal(pixels(found, labels=0), pixels(expected, labels=0))


def test_program_has_the_decoder_inside(own, tmp_path):
    model = ConsistencyModelInferencer(*own, device='cpu').load().model
    graph, difference = export(model, tmp_path / 'x.pt2')
    noise, labels = graph.inputs(5)
    assert noise.shape == (5, 1, 4, 8, 8)
    images = FORMATS['.pt2'].run(tmp_path / 'x.pt2', (noise, labels))
    expected = model.sample(5, labels, latents=noise[:, 0])
    assert images.shape == (5, 3, 16, 16) and difference <= 1e-5
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)


def test_editing_is_refused_before_anything_is_read(own):
    inferencer = ConsistencyModelInferencer(*own, device='cpu')
    with pytest.raises(InputError, match='a model of latents does not edit'):
        edit_picture(inferencer, 'colorize', Image.new('RGB', (16, 16)))
    assert not inferencer.loaded


def test_facts_name_pixels_and_latents(own):
    facts = model_facts(str(own[0]))
    assert (facts['image_shape'], facts['latent_shape']) == ((3, 16, 16), (4, 8, 8))
    assert '16 x 16 pixels in 3 channels from latents of 8 x 8 in 4' in described(facts)
