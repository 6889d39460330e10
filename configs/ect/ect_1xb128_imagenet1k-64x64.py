_base_ = [
    '../_base_/models/adm_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/ect.py',
    '../_base_/schedules/adam_inverse_sqrt.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(max_iters=100000)
model = dict(
    denoiser=dict(backbone=dict(dropout=0.4, dropout_resolution=16)),
    init_from='edm_imagenet64_ema',
    objective=dict(
        curriculum=dict(q=4.0, ratio_limit=0.9961),
        distance=dict(type='PseudoHuber', factor=0.06 / (3 * 64 * 64) ** 0.5),  # c = 0.06, as it is published
        levels=dict(type='LognormalLevels', mean=-0.8, std=1.6),
        weighting=dict(type='KarrasWeighting'),
    ),
    ema_decays=(0.9999,),
)
