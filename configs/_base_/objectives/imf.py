# Improved MeanFlow (Geng et al., 2025) without inputs for guidance and without a velocity head.
_base_ = './flow_map.py'
method = dict(objective=dict(type='ImprovedMeanFlow'))
