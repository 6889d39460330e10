# A network for CIFAR-10: 57 million parameters, unconditional. ADM's blocks in the shape of the DDPM++ (56 million) of
# EDM and ECT: width 256, attention at 16 pixels.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=32,
            base_channels=128,
            num_res_blocks=4,
            attention_resolutions=(16,),
            channel_mult=(2, 2, 2),
            resblock_updown=True,
        ),
    ),
    ema_decays=(0.9999,),
)
