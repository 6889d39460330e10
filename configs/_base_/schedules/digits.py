# Minutes on two CPU cores, so that everything is written more often.
_base_ = '../default_runtime.py'
max_iters = 4000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam', lr=1e-3))
param_scheduler = dict(  # constant, then linearly to zero over the last 40 %
    type='LinearLR', by_epoch=False, begin=int(0.6 * max_iters), end=max_iters, start_factor=1.0, end_factor=1e-3)
default_hooks = dict(
    logger=dict(interval=200), checkpoint=dict(interval=1000), sample_grid=dict(interval=1000))
auto_scale_lr = dict(base_batch_size=128)
