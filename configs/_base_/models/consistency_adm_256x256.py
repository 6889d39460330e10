_deprecation_ = dict(expected='configs/_base_/models/adm_lsun-256x256.py')
_base_ = './adm_lsun-256x256.py'
