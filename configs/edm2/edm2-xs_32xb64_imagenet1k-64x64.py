_base_ = [
    '../_base_/models/edm2-xs_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/edm2.py',
    '../_base_/schedules/edm2.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=64, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=32 * 64)
train_cfg = dict(max_iters=524288)
optim_wrapper = dict(optimizer=dict(lr=1.2e-2))
model = dict(sampler=dict(num_steps=32))
# After an eighth of the training, its average guides EDM2-S: see edm2-s-autoguided_32xb64_imagenet1k-64x64.py.
default_hooks = dict(checkpoint=dict(interval=65536, max_keep_ckpts=-1))
