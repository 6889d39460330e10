_deprecation_ = dict(expected='configs/_base_/models/adm_mnist-28x28.py')
_base_ = './adm_mnist-28x28.py'
