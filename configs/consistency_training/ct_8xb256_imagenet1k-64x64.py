_base_ = [
    '../_base_/models/consistency_adm_64x64.py',
    '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'ct_imagenet64'
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
max_iters = 800000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-4))  # of the launch script; Table 3 of the paper has 8e-6
end_scales = 200
model = dict(
    denoiser=dict(backbone=dict(num_classes=1000)),
    objective=dict(
        type='ConsistencyTraining',
        curriculum=dict(
            type='ProgressiveCurriculum', start_scales=2, end_scales=end_scales, start_decay=0.95, total_steps=max_iters
        ),
        distance=dict(type='LPIPS'),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales=end_scales + 1),
)
