# EDM2-XS: 125 million parameters.
_base_ = './edm2_imagenet1k-64x64.py'
model = dict(denoiser=dict(backbone=dict(base_channels=128)))
