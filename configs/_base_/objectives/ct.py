# Consistency training (Song et al., 2023). A recipe says how the number of scales grows: end_scales and total_steps.
_base_ = '../samplers/onestep.py'
method = dict(
    objective=dict(
        type='ConsistencyTraining',
        curriculum=dict(type='ProgressiveCurriculum', start_scales=2, start_decay=0.95),
        distance=dict(type='LPIPS'),
    )
)
