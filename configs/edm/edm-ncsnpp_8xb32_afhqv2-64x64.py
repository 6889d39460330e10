_base_ = [
    '../_base_/models/ncsnpp_faces-64x64.py',
    '../_base_/datasets/afhqv2_64x64.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm_256.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_afhq64_ve'
train_dataloader = dict(batch_size=32)
model = dict(
    augmentation=dict(type='EDMAugmentation', probability=0.15),
    denoiser=dict(backbone=dict(dropout=0.25)),
    sampler=dict(num_steps=40),
)
