# DDPM++ for CIFAR-10 as EDM has it (Karras et al., 2022, Table 7): 56 million parameters, unconditional, with labels of
# EDM's augmentation. Its average has a half-life of half a million images, in batches of 512.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        c_noise='log(sigma) / 4',
        backbone=dict(
            type='SongUNet',
            image_size=32,
            base_channels=128,
            num_res_blocks=4,
            attention_resolutions=(16,),
            channel_mult=(2, 2, 2),
            augment_dim=9,
        ),
    ),
    ema_decays=(0.5 ** (512 / 500000),),
)
