_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm_512.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=64)
model = dict(
    denoiser=dict(backbone=dict(dropout=0.13)),
    ema_decays=(0.5 ** (512 / 500000),),  # a half-life of half a million images
)
