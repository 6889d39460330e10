# A small transformer for the digits: 0.6 million parameters to sample, 8 x 8 pixels of one channel in patches of 2.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='FlowMapDenoiser',
        guided=True,
        velocity_head=True,
        prediction='x',
        backbone=dict(
            type='PMFTransformer',
            image_size=8,
            patch_size=2,
            embed_dims=96,
            depth=4,
            num_heads=4,
            num_classes=10,
            in_channels=1,
            out_channels=2,
            head_depth=1,
            num_class_tokens=2,
            num_time_tokens=2,
            num_guidance_tokens=1,
            num_interval_tokens=1,
        ),
    ),
    label_dropout=0.1,
    ema_decays=(0.999,),
)
