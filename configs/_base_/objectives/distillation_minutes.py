_deprecation_ = dict(expected='configs/_base_/objectives/cd_minutes.py')
_base_ = './cd_minutes.py'
distillation = _base_.pop('method')['objective']
