_base_ = [
    '../_base_/models/adm_8x8.py', '../_base_/datasets/digits_8x8.py', '../_base_/schedules/digits.py'
]
max_iters = 3600
train_cfg = dict(max_iters=max_iters)
model = dict(
    objective=dict(
        type='ImprovedConsistencyTraining',
        # Published are 1280 scales at the end, for 250 times as many steps.
        curriculum=dict(type='DoublingCurriculum', start_scales=10, end_scales=40, total_steps=max_iters),
        distance=dict(type='PseudoHuber', factor=0.03)),
    sampler=dict(type='MultistepSampler', indices=(0, )))
