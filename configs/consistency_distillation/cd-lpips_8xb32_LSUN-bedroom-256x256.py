_base_ = [
    '../_base_/models/consistency_adm_256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/schedules/consistency_distillation.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'cd_bedroom256_lpips'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
num_scales = 40
model = dict(
    teacher=dict(checkpoint='edm_bedroom256_ema'),
    init_from='teacher',
    objective=dict(
        type='ConsistencyDistillation',
        curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
        distance=dict(type='LPIPS'),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales=num_scales),
)
