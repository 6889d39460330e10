_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/ct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'ct_imagenet64'
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
max_iters = 800000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))  # of the launch script; Table 3 of the paper has 8e-6
end_scales = 200
model = dict(
    objective=dict(curriculum=dict(end_scales=end_scales, total_steps=max_iters)),
    sampler=dict(num_scales=end_scales + 1),
)
