_base_ = [
    '../_base_/models/adm_cifar10-32x32.py',
    '../_base_/datasets/cifar10_32x32.py',
    '../_base_/objectives/tcm.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=3000000)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
model = dict(
    denoiser=dict(backbone=dict(dropout=0.2)),
    init_from='work_dirs/ect-400k_1xb128_cifar10-32x32',
    objective=dict(
        # The schedule of the first stage goes on; the limit of r / t is reached, so that the ratio stays constant.
        curriculum=dict(ratio_limit=0.999, first_stage=16),
        distance=dict(type='PseudoHuber', factor=1e-8 / (3 * 32 * 32) ** 0.5),  # c = 1e-8, as it is published
    ),
)
