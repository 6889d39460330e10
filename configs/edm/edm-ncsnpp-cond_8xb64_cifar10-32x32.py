_base_ = [
    '../_base_/models/ncsnpp_cifar10-classes-32x32.py',
    '../_base_/datasets/cifar10_classes_32x32.py',
    '../_base_/objectives/edm.py',
    '../_base_/schedules/edm_512.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm_cifar10_cond_ve'
train_dataloader = dict(batch_size=64, dataset=dict(flip=False))  # the augmentation has mirror images
model = dict(augmentation=dict(type='EDMAugmentation', probability=0.12), denoiser=dict(backbone=dict(dropout=0.13)))
