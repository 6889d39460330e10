# Improved consistency training (Song & Dhariwal, 2024). A recipe says how many steps its curriculum takes: total_steps.
_base_ = '../samplers/onestep.py'
method = dict(
    objective=dict(
        type='ImprovedConsistencyTraining', curriculum=dict(type='DoublingCurriculum', start_scales=10, end_scales=1280)
    )
)
