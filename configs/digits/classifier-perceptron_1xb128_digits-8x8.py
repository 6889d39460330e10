# A judge that differs from the shipped classifier in architecture and training: no dropout, no label smoothing.
_base_ = './classifier_1xb128_digits-8x8.py'
max_iters = 600
model = dict(architecture='perceptron', dropout=0.0, label_smoothing=0.0)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = dict(T_max=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
