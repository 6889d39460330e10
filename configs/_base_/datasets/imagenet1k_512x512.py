_base_ = './imagenet1k_64x64.py'
train_dataloader = dict(
    dataset=dict(pipeline=[dict(type='LoadImage'), dict(type='CenterCropToSquare', size=512), dict(type='PackImage')])
)
test_evaluator = dict(reference='imagenet512')
