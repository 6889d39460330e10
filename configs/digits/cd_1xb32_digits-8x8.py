_base_ = [
    '../_base_/models/adm_8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
    '../_base_/objectives/distillation_minutes.py',
]
checkpoint = 'digits'
train_cfg = dict(max_iters=3000)
model = dict(
    teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'),
    init_from='teacher',
    objective={{_base_.distillation}},
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales={{_base_.num_scales}}),
)
