# Animal Faces-HQ, version 2: cats, dogs and wild animals without their classes.
_base_ = './ffhq_64x64.py'
train_dataloader = dict(dataset=dict(data_root='data/afhqv2'))
