"""Networks, configs and weights for tests of conversion, and the real diffusers."""

import torch

from mmcm.registry import MODELS
from support.parity import fill

BACKBONE = dict(
    type='ADMUNet',
    image_size=16,
    base_channels=32,
    num_res_blocks=1,
    attention_resolutions=(8,),
    channel_mult=(1, 2),
    num_classes=5,
    num_head_channels=32,
    scale_shift_norm=True,
    resblock_updown=True,
)
# One change or two for everything that UNet2DModel can express.
VARIANTS = dict(
    as_released_for_imagenet={},
    as_released_for_lsun=dict(num_classes=None, scale_shift_norm=False),
    strided_convolutions=dict(resblock_updown=False),
    strided_convolutions_without_modulation=dict(resblock_updown=False, scale_shift_norm=False),
    one_head=dict(num_head_channels=None),
    four_heads_on_one_width=dict(num_head_channels=None, num_heads=4),
    attention_everywhere=dict(attention_resolutions=(16, 8, 4), channel_mult=(1, 2, 2), num_res_blocks=2),
    attention_on_top=dict(attention_resolutions=(16,), resblock_updown=False),
    attention_nowhere=dict(attention_resolutions=(), channel_mult=(1, 1, 3)),
    grey=dict(in_channels=1, out_channels=1),
    one_level=dict(channel_mult=(1,)),
    narrower_below=dict(channel_mult=(1, 3, 2), num_res_blocks=3),
    wider=dict(base_channels=96, dropout=0.1),
    other_normalisation=dict(norm_groups=8, norm_eps=1e-3),
    other_normalisation_without_modulation=dict(norm_groups=16, scale_shift_norm=False, base_channels=48),
    gelu=dict(activation='gelu'),
    mish=dict(activation='mish', resblock_updown=False),
    relu=dict(activation='relu', norm_groups=4),
    no_square=dict(image_size=(16, 24)),
    no_square_and_upright=dict(image_size=[24, 16], attention_resolutions=(16,)),
)


def backbone(**changes):
    return {**BACKBONE, **changes}


def model_config(backbone=BACKBONE, sampler=None, **denoiser):
    """Return the config of a consistency model, with settings of the denoiser and of the sampler."""
    return dict(
        type='ConsistencyModel',
        denoiser=dict(type='KarrasDenoiser', backbone=dict(backbone), **denoiser),
        sampler=dict(type='MultistepSampler', indices=(0,), num_scales=40, **(sampler or {})),
    )


def empty(config):
    """Build a network or a model without its weights."""
    with torch.device('meta'):
        return MODELS.build(dict(config))


def weights_of(backbone, salt=''):
    """Return weights, none of them zero, for the config of a network."""
    return fill({key: value.shape for key, value in empty(backbone).state_dict().items()}, salt)


def same(weights, others):
    """Return whether names, their order, dtypes and every bit are equal."""
    return list(weights) == list(others) and all(
        value.dtype == others[key].dtype and torch.equal(value, others[key]) for key, value in weights.items()
    )
