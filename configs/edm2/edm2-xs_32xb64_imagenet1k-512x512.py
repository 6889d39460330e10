_base_ = [
    '../_base_/models/edm2-xs_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_512x512.py',
    '../_base_/objectives/edm2_latents.py',
    '../_base_/schedules/edm2_latents.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'edm2_imagenet512_xs'
train_dataloader = dict(batch_size=64, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=32 * 64)
train_cfg = dict(max_iters=1048576)
optim_wrapper = dict(optimizer=dict(lr=1.2e-2))
model = dict(sampler=dict(num_steps=32))
