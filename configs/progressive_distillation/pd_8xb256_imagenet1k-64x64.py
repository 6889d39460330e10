_base_ = [
    '../_base_/models/consistency_adm_64x64.py', '../_base_/datasets/imagenet1k_64x64.py',
    '../_base_/schedules/radam.py', '../_base_/default_runtime.py'
]
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=8 * 256)
start_steps, stage_length = 512, 50000
# As long as the curriculum takes for each number of steps: twice as long for two and for one.
periods = (start_steps.bit_length() - 2) * [stage_length] + 2 * [2 * stage_length]
train_cfg = dict(max_iters=sum(periods))
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=1.))
param_scheduler = dict(
    type='CosineRestartLR', by_epoch=False, periods=periods, restart_weights=len(periods) * [1.], eta_min=0.)
model = dict(
    denoiser=dict(boundary=False, backbone=dict(num_classes=1000)),
    teacher=dict(checkpoint='edm_imagenet64_ema'),
    init_from='teacher',
    objective=dict(
        type='ProgressiveDistillation',
        curriculum=dict(type='HalvingCurriculum', start_steps=start_steps, stage_length=stage_length),
        distance=dict(type='L2')),
    sampler=dict(type='ProgressiveDistillationSampler', num_steps=1),
    ema_decays=())
