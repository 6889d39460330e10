# Training as in EDM2 (Karras et al., 2024) on latents of the autoencoder of Stable Diffusion, for 512 x 512 pixels.
_base_ = './edm2.py'
method = dict(
    denoiser=dict(backbone=dict(in_channels=4, out_channels=4)),
    objective=dict(levels=dict(mean=-0.4, std=1.0)),
    autoencoder=dict(
        type='LatentAutoencoder',
        pretrained='sd-vae-ft-mse',
        mean=(5.81, 3.25, 0.12, -2.15),
        std=(8.34, 9.24, 7.42, 6.56),  # twice that of the latents, which so have the sigma_data of 0.5
        value_range=(0.0, 1.0),  # the authors give the autoencoder pixels in [0, 1], where others have [-1, 1]
    ),
)
