_base_ = [
    '../_base_/models/pmf_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/pmf.py',
    '../_base_/samplers/flow_map_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
train_cfg = dict(max_iters=4000)
