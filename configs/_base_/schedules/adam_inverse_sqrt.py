# Adam with a learning rate that falls with the square root of the step, as in EDM2 (Karras et al., 2024).
_base_ = './radam.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3, betas=(0.9, 0.99)))
param_scheduler = dict(type='InverseSqrtLR', by_epoch=False, reference=2000)
