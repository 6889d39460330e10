_base_ = [
    '../_base_/models/adm_8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
max_iters = 2250
train_cfg = dict(max_iters=max_iters)
model = dict(
    denoiser=dict(type='TrigFlowDenoiser', time_scale=30),
    objective=dict(type='ContinuousConsistencyTraining', warmup_steps=max_iters // 4),
    sampler=dict(type='MultistepSampler', indices=(0,)),
)
