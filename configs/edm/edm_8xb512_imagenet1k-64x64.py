_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_imagenet64_ema'
train_dataloader = dict(batch_size=512)
auto_scale_lr = dict(base_batch_size=8 * 512)
model = dict(denoiser=dict(backbone=dict(dropout=0.1)), sampler=dict(num_steps=40))
