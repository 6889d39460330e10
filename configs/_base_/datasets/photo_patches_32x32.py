_base_ = ['./in_memory.py', '../evaluation/validation.py']
train_dataloader = dict(batch_size=32, dataset=dict(type='PhotoPatches', flip=True))
val_dataloader = dict(dataset=dict(num_samples=250))
