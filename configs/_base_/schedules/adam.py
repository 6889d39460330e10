# Adam with a constant learning rate, that of recipes for flow maps.
train_cfg = dict(type='IterBasedTrainLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam'))
