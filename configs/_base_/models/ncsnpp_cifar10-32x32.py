# NCSN++ as EDM has it (Karras et al., 2022, Table 7).
_base_ = './ddpmpp_cifar10-32x32.py'
model = dict(
    denoiser=dict(backbone=dict(embedding='fourier', encoder='residual', noise_mult=2, resample_filter=(1, 3, 3, 1)))
)
