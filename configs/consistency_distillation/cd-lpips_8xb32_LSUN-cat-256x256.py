_base_ = [
    '../_base_/models/adm_lsun-256x256.py',
    '../_base_/datasets/lsun_cat_256x256.py',
    '../_base_/objectives/cd.py',
    '../_base_/schedules/consistency_distillation.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'cd_cat256_lpips'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
model = dict(teacher=dict(checkpoint='edm_cat256_ema'))
