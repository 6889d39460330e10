# A network for the digits: 0.8 million parameters, 8 x 8 pixels of one channel.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=8,
            in_channels=1,
            out_channels=1,
            base_channels=32,
            num_res_blocks=1,
            attention_resolutions=(4,),
            channel_mult=(1, 2),
            num_classes=10,
            num_head_channels=32,
            scale_shift_norm=True,
            resblock_updown=True,
        ),
    ),
    ema_decays=(0.999,),
)
