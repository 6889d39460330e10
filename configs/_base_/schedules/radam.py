# RAdam with a constant learning rate, as in Song et al. (2023).
train_cfg = dict(type='IterBasedTrainLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam'))
