_base_ = [
    '../_base_/models/adm_8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
max_iters = 3600
train_cfg = dict(max_iters=max_iters)
model = dict(
    denoiser=dict(boundary=False),
    init_from='work_dirs/edm_1xb32_digits-8x8',
    objective=dict(
        type='EasyConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=max_iters // 4)
    ),
    sampler=dict(type='MultistepSampler', indices=(0,)),
)
