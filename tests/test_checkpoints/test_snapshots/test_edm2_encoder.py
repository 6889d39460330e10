import pickletools

import pytest

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.snapshots.edm2_encoder import autoencoder_config
from mmcm.config import released_config
from mmcm.utils.errors import InputError
from mmcm.zoo import list_models
from support.hostile_snapshots import array, persistent, text
from support.parity import FOLDER

RAW_MEAN, RAW_STD = (5.81, 3.25, 0.12, -2.15), (4.17, 4.62, 3.71, 3.28)  # of E(x) in EDM2's program
SCALE = [0.5 / value for value in RAW_STD]
BIAS = [-value * factor for value, factor in zip(RAW_MEAN, SCALE)]
FRAME = 9  # bytes: the opcode and the length
VAE = 'stabilityai/sd-vae-ft-mse'


def with_encoder(path, payload):
    """Write the genuine snapshot with another encoder, which has the last word in its dictionary."""
    content = (FOLDER / 'edm2_snapshot_tiny.pkl').read_bytes()
    starts = [place for opcode, _, place in pickletools.genops(content) if opcode.name == 'FRAME']
    for start in reversed(starts):  # a frame states its length
        content = content[:start] + content[start + FRAME :]
    assert content.endswith(b'u.')
    path.write_bytes(content[:-2] + text('encoder') + payload + b'u.')
    return path


def latents(scale=SCALE, bias=BIAS, vae=VAE):
    return persistent('StabilityVAEEncoder', vae_name=text(vae), scale=array(scale), bias=array(bias), _vae=b'N')


def test_latents_of_a_snapshot_have_the_autoencoder_of_the_zoo(tmp_path):
    found = Checkpoint(with_encoder(tmp_path / 'x.pkl', latents())).config['model']['autoencoder']
    assert found['mean'] == RAW_MEAN and found['std'] == tuple(2 * value for value in RAW_STD)
    models = [model for model in list_models() if model.name.startswith('edm2_imagenet512')]
    assert models and all(released_config(model).model.autoencoder == found for model in models)


def test_pixels_need_no_autoencoder():
    assert 'autoencoder' not in Checkpoint(FOLDER / 'edm2_snapshot_tiny.pkl').config['model']
    assert autoencoder_config(None) is None


@pytest.mark.parametrize(
    ('payload', 'word'),
    [
        (text('StabilityVAEEncoder'), 'its encoder is a'),
        (persistent('OtherEncoder'), 'OtherEncoder'),
        (latents(vae='elsewhere/vae'), 'elsewhere/vae'),
        (latents(bias=BIAS[:3]), '4 values of scale and 3 of bias'),
        (latents(scale=[0.0, *SCALE[1:]]), 'scale and bias'),
        (latents(scale=[float('nan'), *SCALE[1:]]), 'autoencoder'),
        (latents(scale=[-1.0, *SCALE[1:]]), 'autoencoder'),
        (persistent('StabilityVAEEncoder', vae_name=text(VAE)), 'scale and bias'),
    ],
)
def test_other_encoders_are_refused(tmp_path, payload, word):
    with pytest.raises(InputError, match=word):
        _ = Checkpoint(with_encoder(tmp_path / 'x.pkl', payload)).config
