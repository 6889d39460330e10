_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/scd.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 2050
train_cfg = dict(max_iters=max_iters)
model = dict(teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'), objective=dict(warmup_steps=max_iters // 4))
