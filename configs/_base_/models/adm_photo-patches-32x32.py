# A network for patches of photographs: 1.9 million parameters, 32 x 32 pixels, unconditional.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=32,
            base_channels=32,
            num_res_blocks=1,
            attention_resolutions=(8,),
            channel_mult=(1, 2, 3),
            num_head_channels=32,
            scale_shift_norm=True,
        ),
    ),
    ema_decays=(0.999,),
)
