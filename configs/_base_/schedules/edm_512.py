# Training of EDM in batches of 512: 200 million images, of which the learning rate rises during the first 10 million
# (Karras et al., 2022, Table 7).
_base_ = './radam.py'
batch = 512  # images per step
auto_scale_lr = dict(base_batch_size=batch)
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='LinearLR', by_epoch=False, start_factor=1e-6, end=10000000 // batch)
