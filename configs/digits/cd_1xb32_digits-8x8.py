_base_ = [
    '../_base_/models/adm_8x8.py', '../_base_/datasets/digits_8x8.py', '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py'
]
checkpoint = 'digits'
train_cfg = dict(max_iters=3000)
num_scales = 18
model = dict(
    teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'),
    init_from='teacher',
    objective=dict(
        type='ConsistencyDistillation',
        curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
        distance=dict(type='PseudoHuber', factor=0.03),
        levels=dict(type='LognormalIndices', mean=-0.8, std=1.8, uniform=0.1),
        weighting=dict(type='InverseSigmaWeighting', offset=2.0)),
    sampler=dict(type='MultistepSampler', indices=(0, ), num_scales=num_scales))
