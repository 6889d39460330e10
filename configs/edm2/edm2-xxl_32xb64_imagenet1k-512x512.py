_base_ = [
    '../_base_/models/edm2-xxl_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_512x512.py',
    '../_base_/objectives/edm2_latents.py',
    '../_base_/schedules/edm2_latents.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm2_imagenet512_xxl'
train_dataloader = dict(batch_size=64, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=32 * 64)
train_cfg = dict(max_iters=458752)
optim_wrapper = dict(optimizer=dict(lr=6.5e-3))
model = dict(sampler=dict(num_steps=32))
