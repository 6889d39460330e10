_base_ = [
    '../_base_/models/consistency_adm_64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/consistency_distillation.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'cd_imagenet64_lpips'
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
optim_wrapper = dict(optimizer=dict(lr=8e-6))
num_scales = 40
model = dict(
    denoiser=dict(backbone=dict(num_classes=1000)),
    teacher=dict(checkpoint='edm_imagenet64_ema'),
    init_from='teacher',
    objective=dict(
        type='ConsistencyDistillation',
        curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
        distance=dict(type='LPIPS'),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales=num_scales),
)
