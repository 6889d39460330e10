_deprecation_ = dict(expected='configs/edm/edm_8xb32_LSUN-bedroom-256x256.py')
_base_ = './edm_8xb32_LSUN-bedroom-256x256.py'
