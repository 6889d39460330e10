default_scope = 'mmcm'
env_cfg = dict(cudnn_benchmark=True, dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)
default_hooks = dict(
    timer=dict(type='RemainingTimeHook'),
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=10000, max_keep_ckpts=3, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    resume_data=dict(type='ResumeDataHook'),
    validation=dict(type='ValidationHook'),
    step_seed=dict(type='StepSeedHook'),
    plain_log=dict(type='PlainLogHook'),
    averages=dict(type='AveragesHook'),
    loop_end=dict(type='LoopEndHook'),
    data_check=dict(type='DataCheckHook'),
    guard=dict(type='NonFiniteGuardHook'),
    loss_by_sigma=dict(type='LossBySigmaHook'),
    sample_grid=dict(type='SampleGridHook', interval=10000),
    trajectory=dict(type='TrajectoryHook', interval=10000),
)
log_processor = dict(type='LogProcessor', by_epoch=False)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
load_from = None
resume = False
