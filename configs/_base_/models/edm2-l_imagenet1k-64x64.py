# EDM2-L: 777 million parameters.
_base_ = './edm2_imagenet1k-64x64.py'
model = dict(denoiser=dict(backbone=dict(base_channels=320, dropout=0.1)))
