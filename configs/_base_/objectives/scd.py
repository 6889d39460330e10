# Continuous-time consistency distillation (Lu & Song, 2025). A recipe names the teacher, an EDM.
_base_ = './sct.py'
method = dict(
    # The teacher's network expects 250 log sigma, which turns too fast with t for a stable tangent. The student learns
    # the new scale while the tangent warms up.
    teacher=dict(denoiser=dict(time_scale=None)),
    init_from='teacher',
    objective=dict(type='ContinuousConsistencyDistillation'),
)
