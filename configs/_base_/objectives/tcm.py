# Truncated consistency models (Lee et al., 2024): the second stage. A recipe names the first stage to start from:
# init_from.
_base_ = '../samplers/onestep.py'
method = dict(
    denoiser=dict(type='TruncatedDenoiser'),
    objective=dict(type='TruncatedConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=25000)),
)
