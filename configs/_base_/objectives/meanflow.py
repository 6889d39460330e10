# MeanFlow (Geng et al., 2025).
_base_ = './flow_map.py'
method = dict(objective=dict(type='MeanFlow'))
