train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='mmcm.stack_samples'),
    dataset=dict(
        type='ImageFolder',
        labelled=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='CenterCropToSquare', size=256),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackImage')
        ]))
