_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/cd.py',
    '../_base_/schedules/consistency_distillation.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'cd_imagenet64_lpips'
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
optim_wrapper = dict(optimizer=dict(lr=8e-6))
model = dict(teacher=dict(checkpoint='edm_imagenet64_ema'))
