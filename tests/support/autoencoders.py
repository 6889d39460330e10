"""A small AutoencoderKL with random weights, as diffusers saves it."""

import torch

MEAN, STD = (0.5, -0.25, 0.125, 0.0), (2.0, 1.0, 0.5, 4.0)
WIDTHS = dict(
    block_out_channels=(8, 16),
    down_block_types=('DownEncoderBlock2D',) * 2,
    up_block_types=('UpDecoderBlock2D',) * 2,
    layers_per_block=1,
    norm_num_groups=4,
    latent_channels=4,
)


def saved_autoencoder(folder, **settings):
    """Save an autoencoder whose latents have half the side of its images; return diffusers' own."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    network = AutoencoderKL(**{**WIDTHS, **settings}).eval()
    network.save_pretrained(folder)
    return network


def autoencoder_config(folder, **changes):
    """Return the config of what decodes latents by the autoencoder in `folder`."""
    return dict(type='LatentAutoencoder', pretrained=str(folder), mean=MEAN, std=STD, downscale=2, **changes)


def latent_model(folder, **changes):
    """Return the config of a small flow map that makes images of 16 x 16 from latents of 4 x 8 x 8."""
    backbone = dict(
        type='IMFTransformer',
        image_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        embed_dims=32,
        depth=2,
        head_depth=1,
        num_heads=2,
        num_classes=3,
    )
    return dict(
        type='ConsistencyModel',
        denoiser=dict(type='FlowMapDenoiser', guided=True, guidance=2.0, backbone=backbone),
        sampler=dict(type='FlowMapSampler', num_steps=1),
        autoencoder=autoencoder_config(folder),
        **changes,
    )
