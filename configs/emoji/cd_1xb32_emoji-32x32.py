_base_ = [
    '../_base_/models/adm_emoji-32x32.py',
    '../_base_/datasets/emoji_32x32.py',
    '../_base_/objectives/cd_minutes.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
train_cfg = dict(max_iters=6000)
default_hooks = dict(sample_grid=dict(interval=1000), trajectory=dict(interval=1000))
model = dict(teacher=dict(checkpoint='work_dirs/edm_1xb32_emoji-32x32'))
