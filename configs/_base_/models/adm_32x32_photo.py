_deprecation_ = dict(expected='configs/_base_/models/adm_photo-patches-32x32.py')
_base_ = './adm_photo-patches-32x32.py'
