_base_ = [
    '../_base_/models/edm2-s_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/ect_imagenet1k-64x64.py',
    '../_base_/schedules/adam_inverse_sqrt.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_iters=100000)
model = dict(init_from='edm2_imagenet64_s', ema_decays=(0.9999, dict(sigma_rel=0.05), dict(sigma_rel=0.1)))
