_base_ = [
    '../_base_/models/adm_32x32_photo.py',
    '../_base_/datasets/photo_patches_32x32.py',
    '../_base_/schedules/digits.py',
]
checkpoint = 'edm_photo_patches'
train_cfg = dict(max_iters=5000)
model = dict(denoiser=dict(boundary=False), objective=dict(type='EDM'), sampler=dict(type='HeunSampler', num_steps=18))
