# NVIDIA's FastGen: Adam with a small epsilon and a learning rate that falls, clipped gradients, half the batch, half
# again as many steps.
_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/scd.py',
    '../_base_/schedules/adam_inverse_sqrt.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=600000)
optim_wrapper = dict(optimizer=dict(lr=7e-5, eps=1e-11), clip_grad=dict(max_norm=10.0))
param_scheduler = dict(reference=35000)
model = dict(
    denoiser=dict(backbone=dict(dropout=0.0)),
    teacher=dict(checkpoint='edm_imagenet64_ema'),
    objective=dict(levels=dict(type='LognormalLevels', mean=-1.0, std=1.6)),
)
