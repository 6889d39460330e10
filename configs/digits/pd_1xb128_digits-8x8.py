_base_ = [
    '../_base_/models/adm_8x8.py', '../_base_/datasets/digits_8x8.py', '../_base_/schedules/digits.py'
]
max_iters = 1380
train_cfg = dict(max_iters=max_iters)
start_steps = 16
model = dict(
    denoiser=dict(boundary=False),
    teacher=dict(checkpoint='work_dirs/edm_1xb128_digits-8x8'),
    init_from='teacher',
    objective=dict(
        type='ProgressiveDistillation',
        # 16, 8, 4 steps, and twice as long 2 and 1: seven stages' time
        curriculum=dict(type='HalvingCurriculum', start_steps=start_steps, stage_length=max_iters // 7),
        distance=dict(type='L2')),
    sampler=dict(type='ProgressiveDistillationSampler', num_steps=1))
