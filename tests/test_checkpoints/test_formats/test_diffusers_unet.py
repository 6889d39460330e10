import json

import pytest
import torch

from mmcm.checkpoints.formats.diffusers_unet import backbone_config, from_diffusers, key_map, to_diffusers, unet_config
from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width
from support.diffusers_models import VARIANTS, backbone, empty, same, weights_of
from support.parity import FOLDER, Fixture, adm_config, fill, manifest

RELEASED = dict(
    imagenet64='consistency_models_8xb256-imagenet1k-onestep-64x64',
    lsun256='consistency_models_8xb32-LSUN-bedroom-onestep-256x256',
)


@pytest.fixture(params=RELEASED)
def released(request):
    """Our config of a released architecture, and what was measured on diffusers' counterpart."""
    measured = json.loads((FOLDER / f'diffusers_state_dict_{request.param}.json').read_text())
    return read_config(RELEASED[request.param]).model.denoiser.backbone.to_dict(), measured


def test_released_architectures_have_the_settings_that_the_conversion_script_gives_them(released):
    ours, measured = released
    assert {'attn_norm_num_groups': None, **measured['unet_config']} == unet_config(ours)


def test_every_key_of_the_released_architectures_comes_from_where_the_conversion_script_takes_it(released):
    ours, measured = released
    sources = {}
    for key, names in key_map(ours):
        sources.update({name: [key, third] if len(names) == 3 else key for third, name in enumerate(names)})
    assert sources == measured['source_of_each_key']


def test_shapes_of_the_released_architectures_are_those_of_diffusers(released):
    ours, measured = released
    converted = to_diffusers(ours, empty(ours).state_dict())
    assert {key: list(value.shape) for key, value in converted.items()} == {
        key: shape for key, shape, _ in measured['state_dict']
    }


def test_settings_of_the_released_architectures_lead_back_to_the_same_network(released):
    ours, measured = released
    for settings in (measured['unet_config'], measured['unet_config_full'], unet_config(ours)):
        back = backbone_config(settings)
        defaults = dict(in_channels=3, out_channels=3, num_classes=None, scale_shift_norm=False, dropout=0.0)
        assert back == {**defaults, **ours}


@pytest.mark.parametrize('changes', VARIANTS.values(), ids=VARIANTS)
def test_diffusers_computes_what_the_network_computes(diffusers, changes):
    ours = backbone(**changes)
    weights = weights_of(ours)
    network, theirs = MODELS.build(dict(ours)).eval(), diffusers.UNet2DModel(**unet_config(ours)).eval()
    network.load_state_dict(weights)
    theirs.load_state_dict(to_diffusers(ours, weights))
    x = torch.randn(
        2, ours.get('in_channels', 3), *height_and_width(ours['image_size']), generator=torch.Generator().manual_seed(0)
    )
    t, labels = torch.tensor([-1500.0, 1000.0]), None if ours['num_classes'] is None else torch.tensor([4, 1])
    with torch.no_grad():
        expected = theirs(x, t, labels).sample
        assert expected.std() > 0.3
        torch.testing.assert_close(network(x, t, labels), expected, atol=2e-5, rtol=0)

    back = backbone_config(dict(theirs.config))
    assert same(from_diffusers(back, theirs.state_dict()), weights)
    assert backbone_config(unet_config(back)) == back


@pytest.mark.parametrize('changes', VARIANTS.values(), ids=VARIANTS)
def test_keys_are_those_of_the_network_in_its_order(changes):
    ours = backbone(**changes)
    assert [key for key, _ in key_map(ours)] == list(empty(ours).state_dict())


@pytest.mark.parametrize('name', ['small_classcond', 'small_uncond'])
def test_measured_output_of_diffusers_is_that_of_the_way_back(name):
    fixture = Fixture(f'unet_{name}')
    ours = adm_config(fixture.meta['kwargs'])
    weights = fill(manifest(name)[0])
    back = backbone_config(unet_config(ours))
    network = MODELS.build(back).eval()
    network.load_state_dict(from_diffusers(back, to_diffusers(ours, weights)))
    labels = fixture('y') if 'y' in fixture else None
    with torch.no_grad():
        output = network(fixture('x'), fixture('timesteps'), labels)
    torch.testing.assert_close(output, fixture('diffusers_output'), atol=2e-5, rtol=0)


def test_writing_copies_nothing_and_reading_only_the_attention():
    ours = backbone()
    weights = weights_of(ours)
    converted = to_diffusers(ours, weights)
    places = {value.untyped_storage().data_ptr() for value in weights.values()}
    assert {value.untyped_storage().data_ptr() for value in converted.values()} == places
    back = from_diffusers(ours, converted)
    copied = {key for key, value in back.items() if value.untyped_storage().data_ptr() not in places}
    assert copied == {key for key in weights if '.qkv.' in key} != set()


def test_attention_under_its_former_names_is_read():
    ours = backbone()
    weights = weights_of(ours)
    former = {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}
    renamed = {}
    for name, value in to_diffusers(ours, weights).items():
        for new, old in former.items():
            name = name.replace(f'.{new}.', f'.{old}.')
        renamed[name] = value
    assert 'mid_block.attentions.0.proj_attn.bias' in renamed
    assert same(from_diffusers(ours, renamed), weights)


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(channel_mult=(2, 2)), r'channel_mult \(2, 2\): it would need a first entry of 1'),
        (dict(num_head_channels=None, num_heads=4, attention_resolutions=(16, 8)), 'num_heads 4: .* num_head_channels'),
        (dict(num_res_blocks=0), 'num_res_blocks 0: it would need at least 1'),
        (dict(patch_size=2), 'patch_size 2: it would need 1'),
        (dict(type='DiT'), 'no counterpart of the backbone DiT'),
    ],
)
def test_network_that_diffusers_has_not_is_refused_by_the_setting(changes, match):
    with pytest.raises(InputError, match=match):
        unet_config(backbone(**changes))


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(time_embedding_type='fourier'), "time_embedding_type 'fourier'"),
        (dict(center_input_sample=True), 'center_input_sample True'),
        (dict(freq_shift=1), 'freq_shift 1'),
        (dict(flip_sin_to_cos=False), 'flip_sin_to_cos False'),
        (dict(norm_num_groups=24), r'norm_num_groups 24: it would need a divisor of block_out_channels\[0\], 32'),
        (dict(norm_num_groups=None), 'norm_num_groups None'),
        (dict(norm_eps=None), 'norm_eps None'),
        (dict(act_fn='tanh'), "act_fn 'tanh': it would need silu or gelu"),
        (dict(act_fn=None), 'act_fn None'),
        (dict(downsample_padding=0), 'downsample_padding 0'),
        (dict(add_attention=False), 'add_attention False'),
        (dict(mid_block_type=None), 'mid_block_type None'),
        (dict(class_embed_type='timestep'), "class_embed_type 'timestep'"),
        (dict(attn_norm_num_groups=16), 'attn_norm_num_groups 16: it would need norm_num_groups, 32'),
        (dict(attention_head_dim=24), r'attention_head_dim 24: it would need a divisor of \[64\]'),
        (dict(block_out_channels=[32, 48]), r'block_out_channels \[32, 48\]: it would need multiples of the first one'),
        (dict(time_embedding_dim=96), 'time_embedding_dim 96: it would need 128'),
        (dict(resnet_time_scale_shift='spatial'), "resnet_time_scale_shift 'spatial'"),
        (dict(sample_size=[16, 32, 8]), r'sample_size has to be .*pair \(height, width\), got \[16, 32, 8\]'),
        (
            dict(down_block_types=['SkipDownBlock2D', 'AttnDownBlock2D']),
            'down_block_types .*SkipDownBlock2D.*2 of Attn',
        ),
        (dict(down_block_types=['AttnDownBlock2D']), 'down_block_types .*2 of Attn'),
        (
            dict(down_block_types=['DownBlock2D', 'AttnDownBlock2D']),
            'downsample_type and upsample_type.*one way for all',
        ),
        (dict(up_block_types=['AttnUpBlock2D', 'AttnUpBlock2D']), 'up_block_types .*attention on the levels'),
        (dict(upsample_type='conv'), 'downsample_type and upsample_type.*conv.*resnet'),
        (dict(sample_size=None), 'sample_size None.*set it in config.json'),
        (dict(block_out_channels=[]), 'has no block_out_channels'),
    ],
)
def test_network_that_we_have_not_is_refused_by_the_setting(changes, match):
    with pytest.raises(InputError, match=match):
        backbone_config({**unet_config(backbone()), **changes})


def test_settings_that_are_missing_are_those_of_diffusers(diffusers):
    settings = dict(
        sample_size=32,
        block_out_channels=(64, 128),
        down_block_types=('DownBlock2D', 'AttnDownBlock2D'),
        up_block_types=('AttnUpBlock2D', 'UpBlock2D'),
    )
    with torch.device('meta'):
        complete = dict(diffusers.UNet2DModel(**settings).config)
    assert backbone_config(settings) == backbone_config(complete)


@pytest.mark.parametrize(
    'change, match',
    [
        (lambda weights: weights.pop('conv_in.bias'), '1 are missing, conv_in.bias'),
        (lambda weights: weights.update(extra=torch.zeros(1)), '1 are not expected, extra'),
    ],
)
def test_weights_of_another_network_are_refused(change, match):
    weights = to_diffusers(backbone(), weights_of(backbone()))
    change(weights)
    with pytest.raises(InputError, match=match):
        from_diffusers(backbone(), weights)
