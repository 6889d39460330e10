_base_ = './cifar10_32x32.py'
class_names = 'cifar100'
train_dataloader = dict(dataset=dict(type='CIFAR100', data_root='data/cifar100'))  # holds cifar-100-python
