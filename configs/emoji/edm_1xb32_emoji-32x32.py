_base_ = [
    '../_base_/models/adm_emoji-32x32.py',
    '../_base_/datasets/emoji_32x32.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
train_cfg = dict(max_iters=20000)
default_hooks = dict(sample_grid=dict(interval=2000), trajectory=dict(interval=2000))
