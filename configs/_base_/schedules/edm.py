_base_ = './radam.py'
train_cfg = dict(max_iters=600000)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
