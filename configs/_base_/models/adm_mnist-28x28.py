# A network for MNIST: 1.9 million parameters, 28 x 28 pixels of one channel, halved twice.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=28,
            in_channels=1,
            out_channels=1,
            base_channels=32,
            num_res_blocks=2,
            attention_resolutions=(7,),
            channel_mult=(1, 2, 2),
            num_classes=10,
            num_head_channels=32,
            scale_shift_norm=True,
            resblock_updown=True,
        ),
    ),
    ema_decays=(0.999,),
)
