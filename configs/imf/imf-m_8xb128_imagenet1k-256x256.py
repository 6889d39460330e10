_base_ = './imf-b_8xb128_imagenet1k-256x256.py'
checkpoint = 'imf_m2_imagenet256'
model = dict(denoiser=dict(guidance=10.5, guidance_interval=(0.4, 0.6), backbone=dict(depth=24)))
