# Networks of EDM2 for ImageNet at 64 x 64 pixels (Karras et al., 2024, Table 6). The bases of each size,
# edm2-<size>_imagenet1k-64x64.py, have its width.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        c_noise='log(sigma) / 4',
        backbone=dict(
            type='EDM2UNet',
            image_size=64,
            num_res_blocks=3,
            attention_resolutions=(16, 8),
            channel_mult=(1, 2, 3, 4),
            num_classes=1000,
        ),
    ),
    ema_decays=(dict(sigma_rel=0.05), dict(sigma_rel=0.1)),
)
