_base_ = './consistency_models_8xb32-LSUN-bedroom-onestep-256x256.py'
model = dict(sampler=dict(indices=(0, 17)))  # the two levels found best for this checkpoint
