# RAdam with a learning rate that stays as it is, as Song et al. (2023) train consistency models.
train_cfg = dict(type='IterBasedTrainLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam'))
