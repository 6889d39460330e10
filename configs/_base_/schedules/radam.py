# RAdam with a constant learning rate, as in Song et al. (2023).
train_cfg = dict(type='IterBasedTrainLoop', val_interval=10000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam'))
