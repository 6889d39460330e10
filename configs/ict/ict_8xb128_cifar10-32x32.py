_base_ = [
    '../_base_/models/adm_32x32_cifar.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=8 * 128)
max_iters = 400000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.3)),
    objective=dict(
        type='ImprovedConsistencyTraining',
        curriculum=dict(type='DoublingCurriculum', start_scales=10, end_scales=1280, total_steps=max_iters),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,)),
    ema_decays=(0.99993,),
)
