_base_ = './imagenet1k_64x64.py'
# The same images in one file: mmcm pack data/imagenet/train --size 64 --out data/imagenet64.npz
train_dataloader = dict(
    num_workers=2,  # no decoding: they only read
    dataset=dict(_delete_=True, type='ImagePack', data_file='data/imagenet64.npz', flip=True),
)
