# NCSN++ for FFHQ and AFHQv2: 63 million parameters. Half-life as for CIFAR-10, in batches of 256.
_base_ = './ncsnpp_cifar10-32x32.py'
model = dict(
    denoiser=dict(backbone=dict(image_size=64, channel_mult=(1, 2, 2, 2))), ema_decays=(0.5 ** (256 / 500000),)
)
