import json

import pytest
import torch

from mmcm.checkpoints.snapshots.edm2_network import edm2_config, edm2_denoiser_config
from mmcm.checkpoints.trusted_config import checked_config
from mmcm.registry import MODELS, SAMPLERS
from mmcm.utils.errors import InputError
from support.parity import FOLDER

SNAPSHOT = json.loads((FOLDER / 'edm2_snapshot_structure.json').read_text())
RELEASED = json.loads((FOLDER / 'state_dict_edm2.json').read_text())


def built(arguments):
    with torch.device('meta'):
        return MODELS.build(checked_config(edm2_config(arguments), 'snapshot.pkl')['model']).denoiser


def shapes_of(denoiser):
    return [[key, list(value.shape)] for key, value in denoiser.backbone.state_dict().items()]


def test_network_of_a_snapshot_has_its_weights():
    denoiser = built(SNAPSHOT['init_kwargs_of_ema'])
    assert shapes_of(denoiser) == [[key, shape] for key, shape, *_ in SNAPSHOT['state_dict']]
    assert denoiser.sigma_data == 0.5 and denoiser.offset == 0 and denoiser.c_noise == 'log(sigma) / 4'


@pytest.mark.parametrize('name', RELEASED['networks'])
def test_released_networks_have_their_weights_in_order(name):
    entry = RELEASED['networks'][name]
    denoiser = built(entry['kwargs'])
    if 'shapes' in entry:
        expected = [[key, shape] for key, shape in zip(RELEASED['keys'], entry['shapes'], strict=True)]
    else:
        expected = [[key, shape] for key, shape, *_ in entry['state_dict']]
    assert shapes_of(denoiser) == expected
    assert sum(value.numel() for value in denoiser.parameters()) == entry['num_parameters']


def test_model_samples_as_published_and_knows_the_classes_of_imagenet():
    released = edm2_config(RELEASED['networks']['edm2-img64-s']['kwargs'])
    assert released['class_names'] == 'imagenet1k' and SAMPLERS.build(released['model']['sampler']).nfe == 63
    assert 'class_names' not in edm2_config(SNAPSHOT['init_kwargs_of_ema'])


def test_arguments_reach_the_network():
    arguments = dict(
        SNAPSHOT['init_kwargs_of_ema'],
        channel_mult_noise=2,
        channel_mult_emb=3,
        label_balance=0.4,
        concat_balance=0.6,
        res_balance=0.2,
        attn_balance=0.1,
        clip_act=None,
        dropout=0.5,
        sigma_data=0.25,
        resample_filter=[1, 1],
    )
    denoiser = built(arguments)
    network, block = denoiser.backbone.unet, denoiser.backbone.unet.enc['4x4_block0']
    assert (network.label_balance, network.concat_balance, denoiser.sigma_data) == (0.4, 0.6, 0.25)
    assert (block.res_balance, block.attention_balance, block.clip, block.dropout) == (0.2, 0.1, None, 0.5)
    assert network.emb_noise.weight.shape == (24, 16)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(img_channels=None), 'does not say img_channels'),
        (dict(use_wavelets=True), "an argument 'use_wavelets'"),
        (dict(resample_filter=[1, 3, 3, 1]), 'a resample_filter other than'),
        (dict(resample_filter=None), 'a resample_filter other than'),
    ],
)
def test_what_the_network_does_not_have_is_refused(changes, message):
    arguments = {**SNAPSHOT['init_kwargs_of_ema'], **changes}
    if 'img_channels' in changes:
        del arguments['img_channels']
    with pytest.raises(InputError, match=message):
        edm2_denoiser_config(arguments)


@pytest.mark.parametrize('changes', [dict(model_channels=10**9), dict(img_resolution='64'), dict(label_dim=-3)])
def test_numbers_of_a_snapshot_have_bounds(changes):
    with pytest.raises(InputError, match=r'snapshot\.pkl: the config that comes with the weights is refused'):
        built({**SNAPSHOT['init_kwargs_of_ema'], **changes})
