_deprecation_ = dict(expected='configs/_base_/models/adm_cifar10-32x32.py')
_base_ = './adm_cifar10-32x32.py'
