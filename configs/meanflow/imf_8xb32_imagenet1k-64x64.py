_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/imf.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
train_cfg = dict(max_iters=1200000)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.95)))
model = dict(
    denoiser=dict(guided=True, velocity_head=True, backbone=dict(null_class=True, num_conditions=4, out_channels=6)),
    label_dropout=0.1,
    ema_decays=(0.9999,),
)
