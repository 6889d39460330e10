_deprecation_ = dict(expected='_base_/models/adm_imagenet-64x64.py')
_base_ = './adm_imagenet-64x64.py'
