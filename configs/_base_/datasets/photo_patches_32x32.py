_base_ = './in_memory.py'
train_dataloader = dict(batch_size=32, dataset=dict(type='PhotoPatches', flip=True))
