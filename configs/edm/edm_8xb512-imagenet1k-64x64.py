_base_ = [
    '../_base_/models/consistency_adm_64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/edm.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'edm_imagenet64_ema'
train_dataloader = dict(batch_size=512)
auto_scale_lr = dict(base_batch_size=8 * 512)
model = dict(
    denoiser=dict(boundary=False, backbone=dict(num_classes=1000, dropout=0.1)),
    objective=dict(type='EDM'),
    sampler=dict(type='HeunSampler', num_steps=40),
)
