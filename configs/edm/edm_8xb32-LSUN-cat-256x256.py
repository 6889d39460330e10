_deprecation_ = dict(expected='configs/edm/edm_8xb32_LSUN-cat-256x256.py')
_base_ = './edm_8xb32_LSUN-cat-256x256.py'
