# The model that ships as `mnist`: ect_1xb32_mnist-28x28 is tuned further at its last ratio, with most steps at the
# noise levels that one network evaluation depends on.
_base_ = './ect_1xb32_mnist-28x28.py'
max_iters = 1600
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(sample_grid=dict(interval=max_iters), trajectory=dict(interval=max_iters))
model = dict(
    init_from='work_dirs/ect_1xb32_mnist-28x28',
    objective=dict(
        curriculum=dict(q=16.0, stage_length=max_iters), levels=dict(type='LognormalLevels', mean=1.0, std=1.6)
    ),
)
