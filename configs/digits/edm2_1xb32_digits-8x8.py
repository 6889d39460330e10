_base_ = [
    '../_base_/models/edm2_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/edm2.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
train_cfg = dict(max_iters=6000)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=5e-3, betas=(0.9, 0.99)))
model = dict(objective=dict(levels=dict(mean=-1.2, std=1.2)))  # those of the other recipes for the digits
