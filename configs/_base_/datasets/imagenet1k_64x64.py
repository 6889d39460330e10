class_names = 'imagenet1k'  # as the command line takes them
train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='mmcm.stack_samples'),
    dataset=dict(
        type='ImageFolder',
        data_root='data/imagenet/train',  # one folder per wnid
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='CenterCropToSquare', size=64),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackImage')
        ]))
