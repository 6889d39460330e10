_base_ = ['../_base_/models/adm_8x8.py', '../_base_/datasets/digits_8x8.py', '../_base_/schedules/digits.py']
checkpoint = 'edm_digits'
train_cfg = dict(max_iters=6000)
model = dict(denoiser=dict(boundary=False), objective=dict(type='EDM'), sampler=dict(type='HeunSampler', num_steps=18))
