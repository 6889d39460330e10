# pMF-B/16 of Lu et al. (2026): 118 million parameters to sample, and 57 million of the velocity head to train.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='FlowMapDenoiser',
        guided=True,
        velocity_head=True,
        prediction='x',
        noise_scale=1.0,
        backbone=dict(
            type='PMFTransformer',
            image_size=256,
            patch_size=16,
            embed_dims=768,
            depth=16,
            num_heads=12,
            num_classes=1000,
            out_channels=6,
        ),
    ),
    label_dropout=0.1,
    ema_decays=tuple(dict(half_life=images, ramp_up=0.05) for images in (2_000_000, 1_000_000, 500_000)),
)
