# Flickr-Faces-HQ: any folder of its images, which are scaled to 64 x 64 pixels.
_base_ = ['./image_files.py', '../evaluation/inception.py']
train_dataloader = dict(
    dataset=dict(
        type='ImageFolder',
        data_root='data/ffhq',
        labelled=False,
        pipeline=[dict(type='LoadImage'), dict(type='CenterCropToSquare', size=64), dict(type='PackImage')],
    )
)
test_evaluator = dict(reference='train')
