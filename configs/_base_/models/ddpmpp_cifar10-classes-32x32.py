_base_ = './ddpmpp_cifar10-32x32.py'
model = dict(denoiser=dict(backbone=dict(num_classes=10)))
