# Easy consistency tuning (Geng et al., 2025). A recipe names the diffusion model to start from: init_from.
_base_ = '../samplers/onestep.py'
method = dict(
    denoiser=dict(boundary=False),
    objective=dict(type='EasyConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=25000)),
)
