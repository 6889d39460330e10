_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/shortcut.py',
    '../_base_/samplers/flow_map_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 3600  # without a derivative, a step takes as long as one of ECT
train_cfg = dict(max_iters=max_iters)
model = dict(denoiser=dict(time_scale=4), ema_decays=(0.995,))  # as of the other flow maps
