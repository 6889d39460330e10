_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/ect.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_iters=100000)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.2)),
    init_from='edm_imagenet64_ema',
    objective=dict(
        curriculum=dict(q=4.0),
        distance=dict(type='PseudoHuber', factor=0.06 / (3 * 64 * 64) ** 0.5),  # c = 0.06, as it is published
        levels=dict(type='LognormalLevels', mean=-0.8, std=1.6),
    ),
    ema_decays=(0.9999,),
)
