# Training on image files, which worker processes decode.
_base_ = './loader.py'
train_dataloader = dict(num_workers=4, persistent_workers=True)
