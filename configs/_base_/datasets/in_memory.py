# Training on images that all lie in memory.
train_dataloader = dict(
    num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True), collate_fn=dict(type='mmcm.stack_samples'))
