_base_ = [
    '../_base_/models/consistency_adm_64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=512)
auto_scale_lr = dict(base_batch_size=8 * 512)
max_iters = 800000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
model = dict(
    denoiser=dict(backbone=dict(num_classes=1000, dropout=0.2)),
    objective=dict(
        type='ImprovedConsistencyTraining',
        curriculum=dict(type='DoublingCurriculum', start_scales=10, end_scales=1280, total_steps=max_iters),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,)),
    ema_decays=(0.99997,),
)
