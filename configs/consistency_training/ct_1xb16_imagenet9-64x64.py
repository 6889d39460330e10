_base_ = [
    '../_base_/models/adm_imagenet9-64x64.py',
    '../_base_/datasets/imagenet9_64x64.py',
    '../_base_/objectives/ct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
max_iters = 800000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
end_scales = 150
model = dict(
    objective=dict(curriculum=dict(end_scales=end_scales, total_steps=max_iters), distance=dict(type='L2')),
    sampler=dict(num_scales=end_scales + 1),
)
