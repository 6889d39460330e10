_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/sct.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(lr=1e-4, betas=(0.9, 0.99)))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.2)),
    init_from='edm_imagenet64_ema',
    objective=dict(levels=dict(type='LognormalLevels', mean=-1.0, std=1.6)),
)
