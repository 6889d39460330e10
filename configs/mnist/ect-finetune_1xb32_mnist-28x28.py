# The model of ect_1xb32_mnist-28x28 is tuned further with steps of an eighth, and more often at the noise levels that
# one network evaluation depends on.
_base_ = './ect_1xb32_mnist-28x28.py'
checkpoint = 'mnist'
max_iters = 8000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
default_hooks = dict(sample_grid=dict(interval=max_iters), trajectory=dict(interval=max_iters))
model = dict(
    ema_decays=(0.999,),
    init_from='work_dirs/ect_1xb32_mnist-28x28',
    objective=dict(
        curriculum=dict(q=8.0, stage_length=max_iters), levels=dict(type='LognormalLevels', mean=0.0, std=1.8)
    ),
)
