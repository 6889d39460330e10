# Consistency distillation in minutes: few scales, and most steps where the network is still wrong.
_base_ = './cd.py'
num_scales = 18
method = dict(
    objective=dict(
        curriculum=dict(num_scales=num_scales),
        distance=dict(type='PseudoHuber', factor=0.03),
        levels=dict(type='LognormalIndices', mean=-0.8, std=1.8, uniform=0.1),
        weighting=dict(type='InverseSigmaWeighting', offset=2.0),
    ),
    sampler=dict(num_scales=num_scales),
)
