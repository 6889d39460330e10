_base_ = [
    '../_base_/models/imf_imagenet1k-256x256.py',
    '../_base_/datasets/imagenet1k_256x256.py',
    '../_base_/objectives/imf_transformer.py',
    '../_base_/schedules/imf.py',
    '../_base_/default_runtime.py',
]
_base_.model.merge(_base_.pop('method'))
checkpoint = 'imf_b2_imagenet256'
train_dataloader = dict(batch_size=128)
model = dict(denoiser=dict(guidance=8.0, guidance_interval=(0.4, 0.65)))
