_base_ = ['./image_files.py', '../evaluation/inception.py']
train_dataloader = dict(
    dataset=dict(
        type='ImageFolder',
        labelled=False,
        flip=True,
        pipeline=[dict(type='LoadImage'), dict(type='CenterCropToSquare', size=256), dict(type='PackImage')],
    )
)
