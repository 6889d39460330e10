# Solution flow models (Luo et al., 2025). A recipe sets total_steps of the curriculum.
_base_ = './flow_map.py'
method = dict(objective=dict(type='SolutionFlow', curriculum=dict(type='AnnealingCurriculum')))
