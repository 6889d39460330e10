_base_ = './in_memory.py'
train_dataloader = dict(
    dataset=dict(
        type='MNIST',
        data_root='data/mnist'))  # holds train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz
