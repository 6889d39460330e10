# Training on images that all lie in memory.
_base_ = './loader.py'
train_dataloader = dict(num_workers=0)
