_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/cd_minutes.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'digits'
train_cfg = dict(max_iters=3000)
model = dict(teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'))
