_base_ = [
    '../_base_/models/dhariwal_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_imagenet64_adm'
train_dataloader = dict(batch_size=512, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=8 * 512)
train_cfg = dict(max_iters=610000)
optim_wrapper = dict(optimizer=dict(type='Adam'))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-6, end=10000000 // (8 * 512))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.1)),
    sampler=dict(num_steps=256, s_churn=40, s_tmin=0.05, s_tmax=50, s_noise=1.003),
)
