_base_ = './imagenet1k_64x64.py'  # the same files
class_names = 'imagenet9'
train_dataloader = dict(dataset=dict(type='ImageNet9'))
