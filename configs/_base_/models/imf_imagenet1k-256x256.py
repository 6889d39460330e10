# iMF-B/2 of Geng et al. (2025), for latents of 4 x 32 x 32: 89 million parameters to sample, and those of the velocity
# head to train. The latents are those of Stable Diffusion's autoencoder, normalised per channel by values
# of other people's ports, which are not confirmed.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='FlowMapDenoiser',
        guided=True,
        velocity_head=True,
        backbone=dict(
            type='IMFTransformer',
            image_size=32,
            patch_size=2,
            embed_dims=768,
            depth=12,
            num_heads=12,
            num_classes=1000,
            in_channels=4,
            out_channels=8,
        ),
    ),
    autoencoder=dict(
        type='LatentAutoencoder',
        pretrained='sd-vae-ft-mse',
        mean=(0.86488, -0.27787343, 0.21616915, 0.3738409),
        std=(4.85503674, 5.31922414, 3.93725398, 3.9870003),
    ),
    label_dropout=0.1,
    ema_decays=(0.9999,),
)
