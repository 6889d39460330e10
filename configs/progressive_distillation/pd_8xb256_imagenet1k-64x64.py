_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/pd.py',
    '../_base_/schedules/progressive_distillation.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
model = dict(
    teacher=dict(checkpoint='edm_imagenet64_ema'),
    objective=dict(curriculum=dict(start_steps=_base_.start_steps, stage_length=_base_.stage_length)),
)
