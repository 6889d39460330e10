_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
batch = 8 * 64  # images per step
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=batch)
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-6, end=10000000 // batch)  # 10 million images
model = dict(
    denoiser=dict(backbone=dict(dropout=0.13)),
    ema_decays=(0.5 ** (batch / 500000),),  # a half-life of half a million images
)
