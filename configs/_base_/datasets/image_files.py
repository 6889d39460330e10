# Training on images that have to be decoded.
_base_ = './loader.py'
train_dataloader = dict(num_workers=4, persistent_workers=True)
