# A network for emoji: 3 million parameters, 32 x 32 pixels in patches of 2 x 2, ten classes.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=32,
            patch_size=2,
            base_channels=64,
            num_res_blocks=1,
            attention_resolutions=(8,),
            channel_mult=(1, 2),
            num_classes=10,
            num_head_channels=32,
            scale_shift_norm=True,
        ),
    ),
    ema_decays=(0.999,),
)
