_base_ = ['../_base_/datasets/in_memory.py', '../_base_/default_runtime.py']
max_iters = 1000
model = dict(type='DigitsClassifier')
train_dataloader = dict(batch_size=128, dataset=dict(type='DigitsDataset', split='train'))
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='mmcm.stack_samples'),
    dataset=dict(type='DigitsDataset', split='test'),
)
val_evaluator = dict(type='LabelAccuracy')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters)
default_hooks = dict(  # no averages, no samples
    _delete_=True,
    logger=dict(type='LoggerHook', log_metric_by_epoch=False),
    checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=max_iters),
    step_seed=dict(type='StepSeedHook'),
    plain_log=dict(type='PlainLogHook'),
)
