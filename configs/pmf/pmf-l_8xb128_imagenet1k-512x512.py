_base_ = './pmf-b_8xb128_imagenet1k-512x512.py'
model = dict(
    denoiser=dict(
        guidance=7.5,
        guidance_interval=(0.2, 0.6),
        noise_scale=4.0,
        backbone=dict(embed_dims=1024, depth=32, num_heads=16),
    ),
    sampler=dict(noise_scale=4.0),
    objective=dict(times=dict(mean=0.0), distance_max_time=0.6),
)
