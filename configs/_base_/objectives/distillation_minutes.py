# Consistency distillation in minutes: few scales, and most steps where the network is still wrong.
num_scales = 18
distillation = dict(
    type='ConsistencyDistillation',
    curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
    distance=dict(type='PseudoHuber', factor=0.03),
    levels=dict(type='LognormalIndices', mean=-0.8, std=1.8, uniform=0.1),
    weighting=dict(type='InverseSigmaWeighting', offset=2.0),
)
