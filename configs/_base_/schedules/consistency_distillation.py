_base_ = './radam.py'
train_cfg = dict(max_iters=600000)
