_base_ = [
    '../_base_/models/consistency_adm_256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/schedules/edm.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'edm_bedroom256_ema'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
model = dict(
    denoiser=dict(boundary=False, backbone=dict(dropout=0.1)),
    objective=dict(type='EDM'),
    sampler=dict(type='HeunSampler', num_steps=40),
    ema_decays=(0.9999432189950708, 0.999, 0.9999),
)
