_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/sct.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 2250
train_cfg = dict(max_iters=max_iters)
model = dict(
    # As in the paper: from the weights of a diffusion model. From random weights, a few minutes are too short: the
    # derivative carries what is learned at small t to large t in small steps, where iCT's first, long steps jump.
    init_from='work_dirs/edm_1xb32_digits-8x8',
    objective=dict(
        warmup_steps=max_iters // 4,
        # Wider than from random weights (1.4), as in FastGen from an EDM: one-step sampling begins at log sigma 4.4.
        levels=dict(type='LognormalLevels', mean=-1.0, std=1.8),
    ),
    # A decay of 0.999 would keep a tenth of the first weights after so few steps.
    ema_decays=(0.998,),
)
