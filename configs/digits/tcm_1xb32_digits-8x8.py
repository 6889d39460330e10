_base_ = [
    '../_base_/models/adm_digits-8x8.py',
    '../_base_/datasets/digits_8x8.py',
    '../_base_/objectives/tcm.py',
    '../_base_/samplers/multistep_digits.py',
    '../_base_/schedules/digits.py',
]
_base_.model.merge(_base_.pop('method'))
max_iters = 1800
train_cfg = dict(max_iters=max_iters)
model = dict(
    init_from='work_dirs/ect_1xb32_digits-8x8',
    objective=dict(curriculum=dict(stage_length=max_iters // 2, first_stage=3)),  # the last one of the first stage
)
