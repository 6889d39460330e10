import json
import pickle
import sys
from copy import deepcopy
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmcm.checkpoints.autoencoder_folder import AutoencoderFolder, known_to
from mmcm.utils.errors import InputError
from support.autoencoders import WIDTHS, saved_autoencoder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def folder(tmp_path):
    saved_autoencoder(tmp_path / 'vae')
    return tmp_path / 'vae'


def same_weights(network, other):
    """Return whether two networks have the same weights, bit by bit."""
    found, expected = network.state_dict(), other.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_weights_are_those_that_diffusers_saved(tmp_path):
    reference = saved_autoencoder(tmp_path)
    found = AutoencoderFolder(tmp_path).build()
    assert same_weights(found, reference)


def test_names_of_old_releases_of_diffusers_are_read(folder):
    path = folder / 'diffusion_pytorch_model.safetensors'
    expected = deepcopy(AutoencoderFolder(folder).build())  # whose weights are in the file
    names = {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}
    old = {}
    for key, value in load_file(path).items():
        new = next((name for name in names if f'.{name}.' in key), None)
        key = key if new is None else key.replace(f'.{new}.', f'.{names[new]}.')
        old[key] = value[..., None, None].contiguous() if new and value.ndim == 2 else value
    assert len([key for key in old if '.query.' in key]) == 4
    save_file(old, path)
    assert same_weights(AutoencoderFolder(folder).build(), expected)


def test_folder_at_an_address_is_downloaded_once(folder, tmp_path):
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder.parent))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/vae'
    try:
        found = AutoencoderFolder.open(url, tmp_path / 'cache')
    finally:
        server.shutdown()
        server.server_close()
    assert same_weights(found.build(), AutoencoderFolder(folder).build())
    assert AutoencoderFolder.open(url, tmp_path / 'cache').path == found.path  # without the server


def test_known_name_stands_for_its_address(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_OFFLINE', '1')
    with pytest.raises(InputError, match=r'cannot download https://huggingface.co/stabilityai/sd-vae-ft-mse/resolve'):
        AutoencoderFolder.open('sd-vae-ft-mse', tmp_path)


def test_missing_folder_names_what_is_known(tmp_path):
    with pytest.raises(InputError, match='sd-vae-ft-mse'):
        AutoencoderFolder.open(str(tmp_path / 'none'))


def test_pickle_is_not_read(folder, tmp_path):
    trap = tmp_path / 'trap'

    class Hostile:
        def __reduce__(self):
            return (open, (str(trap), 'w'))

    weights = folder / 'diffusion_pytorch_model.safetensors'
    weights.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match='no safetensors file'):
        AutoencoderFolder(folder).build()
    weights.unlink()
    (folder / 'diffusion_pytorch_model.bin').write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match='there is no checkpoint file'):
        AutoencoderFolder(folder).build()
    assert not trap.exists()


@pytest.mark.parametrize(
    ('changes', 'word'),
    [
        (dict(_class_name='UNet2DModel'), 'UNet2DModel'),
        (dict(down_block_types=['AttnDownBlock2D'] * 2), 'down_block_types'),
        (dict(block_out_channels=[10**9, 16]), 'block_out_channels'),
        (dict(block_out_channels=[8] * 1000), 'block_out_channels'),
        (dict(layers_per_block=10**6), 'layers_per_block'),
        (dict(act_fn='eval'), 'act_fn'),
        (dict(norm_num_groups=7), 'describes no network'),
        (dict(latent_channels='4'), 'latent_channels'),
        (dict(block_out_channels=[16, 16]), 'shapes differ'),
    ],
)
def test_settings_are_bounded_and_fit_the_weights(folder, changes, word):
    path = folder / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=word):
        AutoencoderFolder(folder).build()


@pytest.mark.parametrize('content', ['', '[]', '{"_class_name": 3}', '{'])
def test_damaged_settings_are_refused(folder, content):
    (folder / 'config.json').write_text(content)
    with pytest.raises(InputError, match=r'config\.json'):
        AutoencoderFolder(folder)


def test_missing_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    with pytest.raises(InputError, match='pip install "mmcm'):
        AutoencoderFolder(folder).build()


def test_pixels_per_latent_follow_from_the_levels(folder):
    assert AutoencoderFolder(folder).downscale == 2 ** (len(WIDTHS['block_out_channels']) - 1)


def test_settings_that_an_older_diffusers_lacks_are_left_out_at_their_defaults(tmp_path):
    class Older:
        def __init__(self, layers_per_block=1):
            pass

    settings = dict(layers_per_block=2, use_quant_conv=True)
    assert known_to(Older, settings, tmp_path) == dict(layers_per_block=2)
    with pytest.raises(InputError, match='use_quant_conv False needs a newer diffusers'):
        known_to(Older, dict(settings, use_quant_conv=False), tmp_path)
