_base_ = [
    '../_base_/models/consistency_adm_256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/schedules/progressive_distillation.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=64 * 32)
model = dict(
    denoiser=dict(boundary=False),
    teacher=dict(checkpoint='edm_bedroom256_ema'),
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
