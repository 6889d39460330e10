_base_ = './pmf-b_8xb128_imagenet1k-512x512.py'
model = dict(
    denoiser=dict(
        guidance=5.5,
        guidance_interval=(0.1, 0.6),
        noise_scale=4.0,
        backbone=dict(embed_dims=1280, depth=48, num_heads=16),
    ),
    sampler=dict(noise_scale=4.0),
    objective=dict(times=dict(mean=0.0, uniform_ratio=0.1), distance_max_time=0.6),
    ema_decays=tuple(dict(half_life=images, ramp_up=0.05) for images in (500_000, 1_000_000, 2_000_000)),
)
