_base_ = ['./image_files.py', '../evaluation/inception.py']
class_names = 'imagenet1k'  # names that --labels accepts
train_dataloader = dict(
    dataset=dict(
        type='ImageFolder',
        data_root='data/imagenet/train',  # one folder per wnid
        flip=True,
        pipeline=[dict(type='LoadImage'), dict(type='CenterCropToSquare', size=64), dict(type='PackImage')],
    )
)
test_dataloader = dict(dataset=dict(num_classes=1000, labels='random'))
test_evaluator = dict(reference='imagenet64')
