_base_ = './consistency_models_8xb32-LSUN-cat-onestep-256x256.py'
model = dict(sampler=dict(indices=(0, 17)))  # the bedroom model's level: none is published for cats
