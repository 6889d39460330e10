_base_ = [
    '../_base_/models/consistency_adm_64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/progressive_distillation.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
model = dict(
    denoiser=dict(boundary=False, backbone=dict(num_classes=1000)),
    teacher=dict(checkpoint='edm_imagenet64_ema'),
    init_from='teacher',
    objective=dict(
        type='ProgressiveDistillation',
        curriculum=dict(
            type='HalvingCurriculum', start_steps={{_base_.start_steps}}, stage_length={{_base_.stage_length}}
        ),
        distance=dict(type='L2'),
    ),
    sampler=dict(type='ProgressiveDistillationSampler', num_steps=1),
    ema_decays=(),
)
