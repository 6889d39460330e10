_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/imf.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))  # the augmentation has mirror images
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=800000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=6e-4, betas=(0.9, 0.999)))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-8, begin=0, end=10000)
model = dict(
    augmentation=dict(type='EDMAugmentation', probability=0.12, y_flip=0, rotate=0),
    denoiser=dict(velocity_head=True, backbone=dict(dropout=0.2, augment_dim=6, out_channels=6)),
    ema_decays=(0.99995,),
    objective=dict(power=0.75, times=dict(type='LogitNormalTimes', mean=-2.0, std=2.0, ratio=0.75)),
)
