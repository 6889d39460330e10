"""Every setting of diffusers' UNet2DModel: the same network here, or a line that names the setting.

Each is changed alone, in two networks: one as released for ImageNet, and the plainest one, with diffusers' defaults.
"""

import inspect
import itertools

import pytest
import torch

from mmcm.checkpoints.formats.diffusers_unet import backbone_config, from_diffusers, unet_config
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.diffusers_models import backbone
from support.parity import fill

PLAIN = dict(
    sample_size=16,
    block_out_channels=[32, 64],
    down_block_types=['DownBlock2D', 'AttnDownBlock2D'],
    up_block_types=['AttnUpBlock2D', 'UpBlock2D'],
    layers_per_block=1,
)
NETWORKS = dict(released=unet_config(backbone()), plain=PLAIN)
DOWN = [
    'DownBlock2D',
    'ResnetDownsampleBlock2D',
    'AttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'SimpleCrossAttnDownBlock2D',
    'SkipDownBlock2D',
    'AttnSkipDownBlock2D',
    'DownEncoderBlock2D',
    'AttnDownEncoderBlock2D',
    'KDownBlock2D',
    'KCrossAttnDownBlock2D',
]
UP = [
    'UpBlock2D',
    'ResnetUpsampleBlock2D',
    'AttnUpBlock2D',
    'CrossAttnUpBlock2D',
    'SimpleCrossAttnUpBlock2D',
    'SkipUpBlock2D',
    'AttnSkipUpBlock2D',
    'UpDecoderBlock2D',
    'AttnUpDecoderBlock2D',
    'KUpBlock2D',
    'KCrossAttnUpBlock2D',
]
VALUES = dict(
    sample_size=[8, 16, 32, [16, 16], (16, 16), [16, 32], None],
    in_channels=[1, 3, 6],
    out_channels=[1, 3, 6],
    center_input_sample=[False, True],
    time_embedding_type=['positional', 'fourier', 'learned'],
    time_embedding_dim=[None, 128, 64],
    freq_shift=[0, 1],
    flip_sin_to_cos=[True, False],
    down_block_types=[*([kind, 'AttnDownBlock2D'] for kind in DOWN), *(['DownBlock2D', kind] for kind in DOWN)],
    mid_block_type=['UNetMidBlock2D', None],
    up_block_types=[*(['AttnUpBlock2D', kind] for kind in UP), *([kind, 'UpBlock2D'] for kind in UP)],
    block_out_channels=[[32, 64], (32, 32), [64, 32], [32, 48], [48, 96], [32, 64, 64]],
    layers_per_block=[1, 2, 3],
    mid_block_scale_factor=[1, 1.0, 2, 0.5],
    downsample_padding=[1, 0],
    downsample_type=['conv', 'resnet', None],
    upsample_type=['conv', 'resnet', None],
    dropout=[0.0, 0.3],
    act_fn=['silu', 'swish', 'SiLU', 'mish', 'gelu', 'relu'],
    attention_head_dim=[8, 16, 32, 64, 24, 1, None],
    norm_num_groups=[32, 16, 8, 1, None],
    attn_norm_num_groups=[None, 32, 16],
    norm_eps=[1e-5, 1e-6],
    resnet_time_scale_shift=['default', 'scale_shift', 'spatial', 'ada_group'],
    add_attention=[True, False],
    class_embed_type=[None, 'timestep', 'identity'],
    num_class_embeds=[None, 1, 7],
    num_train_timesteps=[None, 1000],
)


def theirs(diffusers, settings):
    """Return diffusers' network with weights, or None where it has no such network."""
    try:
        network = diffusers.UNet2DModel(**settings).eval()
        network.load_state_dict(fill({key: value.shape for key, value in network.state_dict().items()}))
        with torch.no_grad():
            x = torch.zeros(1, network.config.in_channels, 16, 16)
            labels = None if network.class_embedding is None else torch.zeros(1, dtype=torch.long)
            network(x, torch.zeros(1), labels)
    except Exception:  # each of its parts refuses in its own way what it cannot do
        return None
    return network


def outcome(diffusers, settings):
    """Return 'same', 'refused: ...' or 'other: ...', or None where diffusers has no such network."""
    network = theirs(diffusers, settings)
    try:
        ours = backbone_config(settings)
        if network is None:
            return 'only ours'
        weights = from_diffusers(ours, network.state_dict())
    except InputError as error:
        return f'refused: {error}'
    built = MODELS.build(ours).eval()
    built.load_state_dict(weights)
    x = torch.randn(2, ours['in_channels'], 16, 16, generator=torch.Generator().manual_seed(0))
    labels = None if ours['num_classes'] is None else torch.tensor([0, ours['num_classes'] - 1])
    with torch.no_grad():
        expected = network(x, torch.tensor([-1500.0, 1000.0]), labels).sample
        difference = (built(x, torch.tensor([-1500.0, 1000.0]), labels) - expected).abs().max()
    return 'same' if difference <= 2e-5 < expected.std() else f'other: differs by {difference}'


def test_every_setting_of_diffusers_is_tried(diffusers):
    assert set(inspect.signature(diffusers.UNet2DModel).parameters) <= set(VALUES)  # older releases have fewer


@pytest.mark.parametrize(
    'name, key, value',
    [(name, key, value) for name, (key, values) in itertools.product(NETWORKS, VALUES.items()) for value in values],
)
def test_setting_leads_to_the_same_network_or_to_a_line_that_names_it(diffusers, name, key, value):
    result = outcome(diffusers, {**NETWORKS[name], key: value})
    named = {key, 'attn_norm_num_groups' if key == 'resnet_time_scale_shift' else key}
    if key == 'block_out_channels':
        named.add('down_block_types')  # where there are more levels
    assert result in ('same', 'only ours') or (
        result.startswith('refused: ') and any(name in result for name in named) and '\n' not in result
    ), result


@pytest.mark.parametrize(
    'key, value',
    [
        ('norm_num_groups', 8),
        ('norm_num_groups', 1),
        ('norm_eps', 1e-6),
        ('act_fn', 'gelu'),
        ('act_fn', 'mish'),
        ('act_fn', 'relu'),
        ('act_fn', 'swish'),
        ('dropout', 0.3),
        ('attention_head_dim', None),
        ('sample_size', 32),
    ],
)
def test_setting_is_followed(diffusers, key, value):
    changes = {key: value}
    if key == 'norm_num_groups':
        changes['attn_norm_num_groups'] = value
    for settings in NETWORKS.values():
        assert outcome(diffusers, {**settings, **changes}) == 'same'
