# Consistency distillation (Song et al., 2023). A recipe names the teacher.
_base_ = '../samplers/onestep.py'
num_scales = 40
method = dict(
    init_from='teacher',
    objective=dict(
        type='ConsistencyDistillation',
        curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
        distance=dict(type='LPIPS'),
    ),
    sampler=dict(num_scales=num_scales),
)
