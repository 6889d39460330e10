# EDM's own network for ImageNet at 64 x 64 pixels: 296 million parameters. Its average has a half-life of 50 million
# images, in batches of 4096.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        c_noise='log(sigma) / 4',
        backbone=dict(
            type='DhariwalUNet',
            image_size=64,
            base_channels=192,
            num_res_blocks=3,
            attention_resolutions=(32, 16, 8),
            channel_mult=(1, 2, 3, 4),
            num_classes=1000,
        ),
    ),
    ema_decays=(0.5 ** (4096 / 50000000),),
)
