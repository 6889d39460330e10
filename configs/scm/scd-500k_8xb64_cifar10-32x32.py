# NVIDIA's FastGen: more steps, and noise levels that reach farther, because training starts from an EDM.
_base_ = './scd_8xb64_cifar10-32x32.py'
train_cfg = dict(max_iters=500000)
model = dict(objective=dict(levels=dict(type='LognormalLevels', mean=-1.0, std=1.8)))
