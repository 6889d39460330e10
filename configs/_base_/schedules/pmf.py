# 320 epochs of ImageNet at 1024 images per step. Batch and length are those of pMF's authors; their optimiser is Muon
# with a learning rate of 1e-3, and ours is Adam as for improved MeanFlow.
_base_ = './radam.py'
train_cfg = dict(max_iters=400000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.95)))
auto_scale_lr = dict(base_batch_size=1024)
