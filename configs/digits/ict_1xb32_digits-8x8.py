_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/ict.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 3600
train_cfg = dict(max_iters=max_iters)
model = dict(
    objective=dict(
        # Published are 10 to 1280 scales, for 100 times as many steps.
        curriculum=dict(start_scales=4, end_scales=32, total_steps=max_iters),
        distance=dict(type='PseudoHuber', factor=0.03),
    )
)
