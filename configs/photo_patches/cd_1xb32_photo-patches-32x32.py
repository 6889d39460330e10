_base_ = [
    '../_base_/models/adm_photo-patches-32x32.py',
    '../_base_/datasets/photo_patches_32x32.py',
    '../_base_/objectives/cd_minutes.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'photo_patches'
train_cfg = dict(max_iters=1500)
model = dict(teacher=dict(checkpoint='work_dirs/edm_1xb32_photo-patches-32x32'))
