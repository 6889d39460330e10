_deprecation_ = dict(expected='configs/_base_/models/adm_imagenet-64x64.py')
_base_ = './adm_imagenet-64x64.py'
