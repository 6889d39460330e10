# Validation while training, without a download: images from seeds that `mmcm test` does not use, their labels balanced,
# against images that the training does not see. How often: train_cfg.val_interval.
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='WholeBatches'),
    dataset=dict(type='SamplingRequests', num_samples=500, seed=1000000),
)
val_evaluator = dict(
    type='ImageEvaluator',
    reference='held_out',
    metrics=[dict(type='SlicedWasserstein', features=dict(type='Pixels', size=32), num_real=2000)],
)
val_cfg = dict(type='SampleValLoop', max_nfe=9)
