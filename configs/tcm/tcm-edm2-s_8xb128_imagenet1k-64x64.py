_base_ = [
    '../_base_/models/edm2-s_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/tcm_imagenet1k-64x64.py',
    '../_base_/schedules/adam_inverse_sqrt.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=800000)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = dict(reference=8000)
model = dict(init_from='work_dirs/ect-edm2-s_1xb128_imagenet1k-64x64', ema_decays=(dict(sigma_rel=0.05),))
