_base_ = [
    '../_base_/models/ddpmpp_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/ect.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_iters=200000)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
model = dict(denoiser=dict(backbone=dict(dropout=0.2)), init_from='edm_cifar10_vp', ema_decays=(0.9999,))
