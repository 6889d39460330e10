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
optim_wrapper = dict(optimizer=dict(lr=1e-4, betas=(0.9, 0.99)))
model = dict(
    denoiser=dict(type='TrigFlowDenoiser', time_scale=30, backbone=dict(dropout=0.2)),
    init_from='work_dirs/edm_8xb64_cifar10-32x32',
    objective=dict(type='ContinuousConsistencyTraining'),
    sampler=dict(type='MultistepSampler', indices=(0,)),
    ema_decays=(0.5 ** (batch / 500000),),
)  # a half-life of half a million images
