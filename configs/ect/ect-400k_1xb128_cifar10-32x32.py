_base_ = './ect_1xb128_cifar10-32x32.py'
train_cfg = dict(max_iters=400000)
model = dict(objective=dict(curriculum=dict(ratio_limit=0.999)))
