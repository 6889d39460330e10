_base_ = [
    '../_base_/models/adm_32x32_photo.py',
    '../_base_/datasets/photo_patches_32x32.py',
    '../_base_/schedules/digits.py',
    '../_base_/objectives/distillation_minutes.py',
]
checkpoint = 'photo_patches'
train_cfg = dict(max_iters=1500)
model = dict(
    teacher=dict(checkpoint='work_dirs/edm_1xb32_photo-patches-32x32'),
    init_from='teacher',
    objective={{_base_.distillation}},
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales={{_base_.num_scales}}),
)
