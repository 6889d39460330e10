_base_ = [
    '../_base_/models/adm_8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
max_iters = 3600
train_cfg = dict(max_iters=max_iters)
model = dict(
    objective=dict(
        type='ConsistencyTraining',
        # Published are 150 scales and a decay of 0.95, for 200 times as many steps. In these few, they learn nothing.
        curriculum=dict(
            type='ProgressiveCurriculum', start_scales=2, end_scales=20, total_steps=max_iters, start_decay=0.8
        ),
        distance=dict(type='L2'),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,)),
)
