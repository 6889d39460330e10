_base_ = [
    '../_base_/models/adm_mnist5k-28x28.py',
    '../_base_/datasets/mnist5k_28x28.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 800
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(sample_grid=dict(interval=max_iters), trajectory=dict(interval=max_iters))
