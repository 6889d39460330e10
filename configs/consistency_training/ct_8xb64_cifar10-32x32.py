_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/ct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=8 * 64)
max_iters = 800000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
end_scales = 150
model = dict(
    objective=dict(curriculum=dict(end_scales=end_scales, start_decay=0.9, total_steps=max_iters)),
    sampler=dict(num_scales=end_scales + 1),
)
