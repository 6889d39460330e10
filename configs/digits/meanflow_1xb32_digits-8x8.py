_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/meanflow.py',
    '../_base_/samplers/flow_map_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 2250
train_cfg = dict(max_iters=max_iters)
model = dict(
    denoiser=dict(time_scale=4),
    # Steps that end near the image, as in the authors' recipe for CIFAR-10 and as those of a one-step sampler. They
    # begin later than there (-0.6, 1.6), because few images have to reach t = 1.
    objective=dict(
        power=0.75, times=dict(type='LogitNormalTimes', mean=0.0, std=1.8, second_mean=-4.0, second_std=1.6, ratio=0.75)
    ),
    # A decay of 0.999 would keep a tenth of the first weights after so few steps.
    ema_decays=(0.995,),
)
