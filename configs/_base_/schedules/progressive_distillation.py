# Stages of Salimans & Ho (2022): the learning rate falls in each.
_base_ = './radam.py'
start_steps, stage_length = 512, 50000
# The curriculum takes one stage for each number of steps, but two for two steps and for one.
periods = (start_steps.bit_length() - 2) * [stage_length] + 2 * [2 * stage_length]
train_cfg = dict(max_iters=sum(periods))
optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = dict(
    type='CosineRestartLR', by_epoch=False, periods=periods, restart_weights=len(periods) * [1.0], eta_min=0.0
)
