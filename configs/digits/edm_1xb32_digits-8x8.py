_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_digits'
train_cfg = dict(max_iters=6000)
