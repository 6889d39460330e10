_base_ = [
    '../_base_/models/adm_lsun-256x256.py',
    '../_base_/datasets/lsun_cat_256x256.py',
    '../_base_/objectives/pd.py',
    '../_base_/schedules/progressive_distillation.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=64 * 32)
model = dict(
    teacher=dict(checkpoint='edm_cat256_ema'),
    objective=dict(curriculum=dict(start_steps=_base_.start_steps, stage_length=_base_.stage_length)),
)
