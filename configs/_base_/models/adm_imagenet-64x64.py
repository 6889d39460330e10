# The released networks for ImageNet at 64 x 64 pixels: 296 million parameters. Their classes are those of the data set.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=64,
            base_channels=192,
            num_res_blocks=3,
            attention_resolutions=(32, 16, 8),
            channel_mult=(1, 2, 3, 4),
            num_head_channels=64,
            scale_shift_norm=True,
            resblock_updown=True,
        ),
    ),
    ema_decays=(0.9999432189950708, 0.999, 0.9999),
)
