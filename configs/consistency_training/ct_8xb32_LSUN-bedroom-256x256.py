_base_ = [
    '../_base_/models/adm_lsun-256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/objectives/ct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'ct_bedroom256'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
max_iters = 1000000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=5e-5))  # of the launch script; Table 3 of the paper has 1e-5, for 2048 images
end_scales = 150
model = dict(
    objective=dict(curriculum=dict(end_scales=end_scales, total_steps=max_iters)),
    sampler=dict(num_scales=end_scales + 1),
)
