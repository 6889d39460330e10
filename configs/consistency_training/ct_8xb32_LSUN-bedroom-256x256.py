_base_ = [
    '../_base_/models/consistency_adm_256x256.py',
    '../_base_/datasets/lsun_bedroom_256x256.py',
    '../_base_/schedules/radam.py',
    '../_base_/default_runtime.py',
]
checkpoint = 'ct_bedroom256'
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=8 * 32)
max_iters = 1000000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=5e-5))  # of the launch script; Table 3 of the paper has 1e-5, for 2048 images
end_scales = 150
model = dict(
    objective=dict(
        type='ConsistencyTraining',
        curriculum=dict(
            type='ProgressiveCurriculum', start_scales=2, end_scales=end_scales, start_decay=0.95, total_steps=max_iters
        ),
        distance=dict(type='LPIPS'),
    ),
    sampler=dict(type='MultistepSampler', indices=(0,), num_scales=end_scales + 1),
)
