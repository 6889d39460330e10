_base_ = ['./in_memory.py', '../evaluation/inception.py', '../evaluation/validation.py']
class_names = 'mnist'
train_dataloader = dict(
    dataset=dict(type='MNIST', data_root='data/mnist')
)  # holds train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz
test_dataloader = dict(dataset=dict(num_classes=10, labels='balanced'))
test_evaluator = dict(reference='train')
val_dataloader = dict(dataset=dict(num_samples=2000))
