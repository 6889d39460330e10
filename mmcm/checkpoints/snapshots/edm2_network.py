"""Networks of EDM2 (Karras et al., 2024, arXiv 2312.02696) as its snapshots describe them: arguments of `Precond`."""

from collections.abc import Mapping
from typing import Any

from mmcm.utils.errors import InputError

BOX = (1, 1)  # the only filter that EDM2UNet resamples with
BACKBONE = dict(  # arguments of Precond and its U-Net: settings of EDM2UNet
    img_resolution='image_size',
    model_channels='base_channels',
    num_blocks='num_res_blocks',
    attn_resolutions='attention_resolutions',
    channel_mult='channel_mult',
    channel_mult_noise='noise_channel_mult',
    channel_mult_emb='embed_channel_mult',
    channels_per_head='num_head_channels',
    dropout='dropout',
    label_balance='label_balance',
    concat_balance='concat_balance',
    res_balance='res_balance',
    attn_balance='attention_balance',
    clip_act='clip',
    logvar_channels='log_variance_channels',
)
DEFAULTS = dict(model_channels=192, num_blocks=3, attn_resolutions=(16, 8), channel_mult=(1, 2, 3, 4))
OTHERS = ('img_channels', 'label_dim', 'sigma_data', 'resample_filter', 'use_fp16')
C_NOISE = 'log(sigma) / 4'
IMAGENET = 1000  # classes, whose names are known
NUM_STEPS = 32  # of Heun's method, for all published scores
NEEDED = ('img_resolution', 'img_channels', 'label_dim')


def edm2_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a diffusion model of EDM2: `model`, and `class_names` where the classes are ImageNet's.

    Arguments: see `edm2_denoiser_config`.
    """
    return diffusion_config(edm2_denoiser_config(arguments), NUM_STEPS)


def diffusion_config(denoiser: dict[str, Any], num_steps: int) -> dict[str, Any]:
    """Return the config of a diffusion model, sampled by Heun's method, with the names of ImageNet's classes."""
    sampler = dict(type='HeunSampler', num_steps=num_steps)
    config: dict[str, Any] = dict(model=dict(type='ConsistencyModel', denoiser=denoiser, sampler=sampler))
    if denoiser['backbone'].get('num_classes') == IMAGENET:
        config['class_names'] = 'imagenet1k'
    return config


def edm2_denoiser_config(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the denoiser that computes what a `Precond` of EDM2 does.

    Its weights have the same names. Values are taken over as they are: what is built from the config checks them, and
    for a file `trusted_config` does before.

    Args:
        arguments (Mapping): Keyword arguments of the `Precond`, its `_init_kwargs`. Those that are missing have
            EDM2's defaults.

    Raises:
        InputError: If an argument is missing or unknown, or stands for what EDM2UNet does not have.
    """
    missing = [key for key in NEEDED if key not in arguments]
    if missing:
        raise InputError(f'the network of EDM2 does not say {", ".join(missing)}.')
    unknown = sorted(set(map(str, arguments)) - {*BACKBONE, *OTHERS})
    if unknown:
        raise InputError(
            f'the network of EDM2 has an argument {unknown[0][:80]!r}, which EDM2UNet does not know: it is of another '
            'version or program.'
        )
    taps = arguments.get('resample_filter', BOX)
    if not isinstance(taps, (list, tuple)) or tuple(taps) != BOX:
        raise InputError('the network of EDM2 has a resample_filter other than [1, 1], which EDM2UNet does not have.')
    arguments = {**DEFAULTS, **arguments}
    settings = {ours: plain(arguments[theirs]) for theirs, ours in BACKBONE.items() if theirs in arguments}
    channels, classes = arguments['img_channels'], arguments['label_dim']
    backbone = dict(type='EDM2UNet', **settings, in_channels=channels, out_channels=channels)
    if classes:
        backbone['num_classes'] = classes
    denoiser = dict(type='KarrasDenoiser', boundary=False, c_noise=C_NOISE, backbone=backbone)
    if 'sigma_data' in arguments:
        denoiser['sigma_data'] = arguments['sigma_data']
    return denoiser


def plain(value: Any) -> Any:
    """Return an argument of a network as configs have it: lists are tuples."""
    return tuple(value) if isinstance(value, list) else value
