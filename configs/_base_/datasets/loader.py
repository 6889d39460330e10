# Settings for training on any images.
train_dataloader = dict(sampler=dict(type='ResumableSampler', shuffle=True), collate_fn=dict(type='mmcm.stack_samples'))
