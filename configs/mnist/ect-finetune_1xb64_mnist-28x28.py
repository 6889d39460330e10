# The model that ships as `mnist`: ect_1xb32_mnist-28x28 is tuned further at its last ratio, with batches of twice the
# size.
_base_ = './ect_1xb32_mnist-28x28.py'
max_iters = 900
train_cfg = dict(max_iters=max_iters)
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(sample_grid=dict(interval=max_iters), trajectory=dict(interval=max_iters))
model = dict(
    init_from='work_dirs/ect_1xb32_mnist-28x28', objective=dict(curriculum=dict(q=16.0, stage_length=max_iters))
)
