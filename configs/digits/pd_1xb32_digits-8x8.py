_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/pd.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 7 * 430
train_cfg = dict(max_iters=max_iters)
model = dict(
    teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'),
    # 16, 8 and 4 steps, then 2 and 1, twice as long: the time of seven stages
    objective=dict(curriculum=dict(start_steps=16, stage_length=max_iters // 7)),
    ema_decays=(0.99,),  # shorter than a stage
)
samplers = dict(onestep=dict(num_steps=1), twostep=dict(num_steps=2), fourstep=dict(num_steps=4))
