_base_ = './imagenet1k_64x64.py'  # the same files
class_names = 'imagenet9'
train_dataloader = dict(dataset=dict(type='ImageNet9'))
test_dataloader = dict(dataset=dict(num_classes=9))
test_evaluator = dict(reference='train')  # no statistics of these nine groups are published
