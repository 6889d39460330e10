# Progressive distillation (Salimans & Ho, 2022), without averages of the weights. A recipe names the teacher and the
# stages of the curriculum: start_steps and stage_length.
method = dict(
    denoiser=dict(boundary=False),
    init_from='teacher',
    objective=dict(type='ProgressiveDistillation', curriculum=dict(type='HalvingCurriculum'), distance=dict(type='L2')),
    sampler=dict(type='ProgressiveDistillationSampler', num_steps=1),
    ema_decays=(),
)
