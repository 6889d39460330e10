_base_ = [
    '../_base_/models/adm_32x32_cifar.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
batch = 8 * 64  # images per step
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=batch)
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-6, end=10000000 // batch)  # 10 million images
model = dict(
    denoiser=dict(boundary=False, backbone=dict(dropout=0.13)),
    objective=dict(type='EDM'),
    sampler=dict(type='HeunSampler', num_steps=18),
    ema_decays=(0.5 ** (batch / 500000),),
)  # a half-life of half a million images
