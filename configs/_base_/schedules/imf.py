# 640 epochs of ImageNet at 1024 images per step, after a warm-up of 10 epochs of them, as of the authors of iMF.
_base_ = './pmf.py'
train_cfg = dict(max_iters=800640)
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-8, begin=0, end=12510)
