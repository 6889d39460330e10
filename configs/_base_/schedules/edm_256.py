# Training of EDM on faces: as many images in batches of 256, with a smaller learning rate.
_base_ = './edm_512.py'
batch = 256
auto_scale_lr = dict(base_batch_size=batch)
train_cfg = dict(max_iters=800000)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = dict(end=10000000 // batch)
