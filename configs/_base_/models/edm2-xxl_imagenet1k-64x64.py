# EDM2-XXL: 1.5 billion parameters.
_base_ = './edm2_imagenet1k-64x64.py'
model = dict(denoiser=dict(backbone=dict(base_channels=448, dropout=0.1)))
