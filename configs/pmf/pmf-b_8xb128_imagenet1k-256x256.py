_base_ = [
    '../_base_/models/pmf_imagenet1k-256x256.py',
    '../_base_/datasets/imagenet1k_256x256.py',
    '../_base_/objectives/pmf.py',
    '../_base_/schedules/pmf.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
train_dataloader = dict(batch_size=128)
model = dict(
    denoiser=dict(guidance=8.5, guidance_interval=(0.1, 0.7)),
    objective=dict(
        times=dict(type='LogitNormalTimes', mean=0.8, std=0.8, ratio=0.5, equal='first'), distance=dict(type='LPIPS')
    ),
)
