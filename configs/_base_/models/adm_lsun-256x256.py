# The released networks for LSUN at 256 x 256 pixels: 526 million parameters, unconditional.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=256,
            base_channels=256,
            num_res_blocks=2,
            attention_resolutions=(32, 16, 8),
            channel_mult=(1, 1, 2, 2, 4, 4),
            num_head_channels=64,
            resblock_updown=True,
        ),
    ),
    ema_decays=(0.9999432189950708, 0.9999, 0.99994),
)
