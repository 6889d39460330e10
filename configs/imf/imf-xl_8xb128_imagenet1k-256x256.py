_base_ = './imf-b_8xb128_imagenet1k-256x256.py'
checkpoint = 'imf_xl2_imagenet256'
train_cfg = dict(max_iters=1000800)  # 800 epochs
model = dict(
    denoiser=dict(guidance=8.0, guidance_interval=(0.42, 0.62), backbone=dict(embed_dims=1024, depth=48, num_heads=16))
)
