_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/soflow.py',
    '../_base_/samplers/flow_map_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 3600  # without a derivative, a step takes as long as one of ECT
train_cfg = dict(max_iters=max_iters)
model = dict(
    denoiser=dict(time_scale=4),
    # Steps that end near the image, as those of a one-step sampler do: the times of the authors' recipe for CIFAR-10.
    objective=dict(
        curriculum=dict(total_steps=max_iters),
        times=dict(type='LogitNormalTimes', mean=-0.6, std=1.6, second_mean=-4.0, second_std=1.6, ratio=0.75),
    ),
    ema_decays=(0.995,),  # as of the other flow maps
)
