# A network of EDM2 for the digits, of the size of adm_digits-8x8.py: 0.8 million parameters.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        c_noise='log(sigma) / 4',
        backbone=dict(
            type='EDM2UNet',
            image_size=8,
            in_channels=1,
            out_channels=1,
            base_channels=32,
            num_res_blocks=1,
            attention_resolutions=(4,),
            channel_mult=(1, 2),
            num_classes=10,
            num_head_channels=32,
            embed_channel_mult=8,
        ),
    ),
    ema_decays=(0.999,),
)
