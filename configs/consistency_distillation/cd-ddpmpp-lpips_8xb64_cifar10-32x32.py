_base_ = [
    '../_base_/models/ddpmpp_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/cd.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=8 * 64)
train_cfg = dict(max_iters=800000)
optim_wrapper = dict(optimizer=dict(lr=4e-4))
num_scales = 18
model = dict(
    teacher=dict(checkpoint='edm_cifar10_vp'),
    objective=dict(curriculum=dict(num_scales=num_scales, target_decay=0.0)),
    sampler=dict(num_scales=num_scales),
    ema_decays=(0.9999,),
)
