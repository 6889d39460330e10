_base_ = [
    '../_base_/models/edm2-s_imagenet1k-64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/objectives/scd.py',
    '../_base_/schedules/adam_inverse_sqrt.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128, dataset=dict(flip=False))
auto_scale_lr = dict(base_batch_size=8 * 128)
train_cfg = dict(max_iters=600000)
optim_wrapper = dict(optimizer=dict(lr=7e-5, eps=1e-11), clip_grad=dict(max_norm=10))
param_scheduler = dict(reference=35000)
model = dict(
    # log(sigma) / 4 turns so slowly with t that the tangent is stable: the student needs no scale of its own.
    denoiser=dict(time_scale=None),
    teacher=dict(checkpoint='edm2_imagenet64_s'),
    objective=dict(levels=dict(type='LognormalLevels', mean=-1.0, std=1.6)),
)
