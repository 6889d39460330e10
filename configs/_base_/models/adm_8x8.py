_deprecation_ = dict(expected='configs/_base_/models/adm_digits-8x8.py')
_base_ = './adm_digits-8x8.py'
