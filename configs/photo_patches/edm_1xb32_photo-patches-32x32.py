_base_ = [
    '../_base_/models/adm_photo-patches-32x32.py',
    '../_base_/datasets/photo_patches_32x32.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_photo_patches'
train_cfg = dict(max_iters=5000)
