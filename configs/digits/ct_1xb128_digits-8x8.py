_base_ = [
    '../_base_/models/adm_8x8.py', '../_base_/datasets/digits_8x8.py', '../_base_/schedules/digits.py'
]
model = dict(
    objective=dict(
        type='ConsistencyTraining',
        curriculum=dict(
            type='ProgressiveCurriculum', start_scales=2, end_scales=150, start_decay=0.95,
            total_steps={{_base_.max_iters}}),
        distance=dict(type='L2')),
    sampler=dict(type='MultistepSampler', indices=(0, )))
