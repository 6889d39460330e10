_deprecation_ = dict(expected='configs/edm/edm_8xb512_imagenet1k-64x64.py')
_base_ = './edm_8xb512_imagenet1k-64x64.py'
