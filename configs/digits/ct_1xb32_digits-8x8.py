_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/ct.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 3600
train_cfg = dict(max_iters=max_iters)
model = dict(
    objective=dict(
        # Published are 150 scales and a decay of 0.95, for 200 times as many steps. In these few, they learn nothing.
        curriculum=dict(end_scales=20, start_decay=0.8, total_steps=max_iters),
        distance=dict(type='L2'),
    )
)
