_base_ = [
    '../_base_/models/adm_lsun-256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_bedroom256_ema'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
model = dict(
    denoiser=dict(backbone=dict(dropout=0.1)),
    sampler=dict(num_steps=40),
    ema_decays=(0.9999432189950708, 0.999, 0.9999),
)
