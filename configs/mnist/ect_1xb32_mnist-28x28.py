_base_ = [
    '../_base_/models/adm_mnist5k-28x28.py',
    '../_base_/datasets/mnist5k_28x28.py',
    '../_base_/objectives/ect.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 1200
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(sample_grid=dict(interval=max_iters), trajectory=dict(interval=max_iters))
model = dict(init_from='work_dirs/edm_1xb32_mnist-28x28', objective=dict(curriculum=dict(stage_length=max_iters // 4)))
