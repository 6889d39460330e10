_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/ict.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=8 * 128)
max_iters = 400000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.3)),
    objective=dict(curriculum=dict(total_steps=max_iters)),
    ema_decays=(0.99993,),
)
