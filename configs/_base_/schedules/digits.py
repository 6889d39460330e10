# Trainings of minutes on two CPU cores: logs, checkpoints and samples are written more often.
_base_ = '../default_runtime.py'
train_cfg = dict(type='IterBasedTrainLoop', val_interval=500)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam', lr=1e-3, betas=(0.9, 0.99)))
param_scheduler = dict(type='PolyLR', by_epoch=False, power=1.0)  # falls linearly to zero at the end
default_hooks = dict(
    logger=dict(interval=200),
    checkpoint=dict(interval=500),
    sample_grid=dict(interval=500),
    trajectory=dict(interval=500),
)
auto_scale_lr = dict(base_batch_size=32)
