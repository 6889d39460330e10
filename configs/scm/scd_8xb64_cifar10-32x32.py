_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/scd.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
batch = 8 * 64  # images per step
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=batch)
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(lr=1e-4, betas=(0.9, 0.99)))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.0)),
    teacher=dict(checkpoint='work_dirs/edm_8xb64_cifar10-32x32'),
    ema_decays=(0.5 ** (batch / 500000),),  # a half-life of half a million images
)
