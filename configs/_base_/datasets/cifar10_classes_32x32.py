# CIFAR-10 with its classes.
_base_ = './cifar10_32x32.py'
train_dataloader = dict(dataset=dict(labelled=True))
test_dataloader = dict(dataset=dict(num_classes=10, labels='random'))
val_dataloader = dict(dataset=dict(num_classes=10))
