_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/shortcut.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=800000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999)))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-8, begin=0, end=10000)
model = dict(denoiser=dict(backbone=dict(dropout=0.2)), ema_decays=(0.999,))
