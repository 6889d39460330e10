# EDM2-XL: 1.1 billion parameters.
_base_ = './edm2_imagenet1k-64x64.py'
model = dict(denoiser=dict(backbone=dict(base_channels=384, dropout=0.1)))
