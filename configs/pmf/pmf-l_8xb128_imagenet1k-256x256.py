_base_ = './pmf-b_8xb128_imagenet1k-256x256.py'
model = dict(
    denoiser=dict(guidance=7.0, guidance_interval=(0.2, 0.7), backbone=dict(embed_dims=1024, depth=32, num_heads=16)),
    objective=dict(guidance_power=2.0),
    ema_decays=tuple(dict(half_life=images, ramp_up=0.05) for images in (1_000_000, 2_000_000, 500_000)),
)
