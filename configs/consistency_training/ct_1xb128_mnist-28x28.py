_base_ = [
    '../_base_/models/adm_mnist-28x28.py',
    '../_base_/datasets/mnist_28x28.py',
    '../_base_/objectives/ct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=128)
max_iters = 100 * 60000 // 128  # 100 epochs
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
end_scales = 150
model = dict(
    objective=dict(
        curriculum=dict(end_scales=end_scales, start_decay=0.9, total_steps=max_iters), distance=dict(type='L2')
    ),
    sampler=dict(num_scales=end_scales + 1),
)
