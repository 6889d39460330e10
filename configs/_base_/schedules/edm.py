train_cfg = dict(type='IterBasedTrainLoop', max_iters=600000)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam', lr=1e-4))
