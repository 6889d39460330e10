# Training on images in memory.
_base_ = './loader.py'
train_dataloader = dict(num_workers=0)
