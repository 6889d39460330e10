_base_ = ['./in_memory.py', '../evaluation/inception.py', '../evaluation/validation.py']
class_names = 'cifar10'
train_dataloader = dict(
    dataset=dict(
        type='CIFAR10',
        data_root='data/cifar10',  # holds cifar-10-batches-py
        labelled=False,
        flip=True,
    )
)
test_evaluator = dict(reference='train')  # as in the papers
val_dataloader = dict(dataset=dict(num_samples=2000))
