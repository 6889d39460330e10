# Continuous-time consistency training (Lu & Song, 2025).
_base_ = '../samplers/onestep.py'
method = dict(
    denoiser=dict(type='TrigFlowDenoiser', time_scale=30), objective=dict(type='ContinuousConsistencyTraining')
)
