_base_ = './sct_8xb256_imagenet1k-64x64.py'
model = dict(
    denoiser=dict(backbone=dict(dropout=0.0)),
    teacher=dict(checkpoint={{_base_.model.init_from}}, denoiser=dict(time_scale=None)),
    init_from='teacher',
    objective=dict(type='ContinuousConsistencyDistillation'),
)
