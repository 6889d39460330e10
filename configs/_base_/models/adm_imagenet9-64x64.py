_base_ = './adm_imagenet-64x64.py'
model = dict(denoiser=dict(backbone=dict(num_classes=9)))
