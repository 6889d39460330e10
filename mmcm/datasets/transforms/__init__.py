"""Transforms of images. Those of mmcv are available, too: importing them registers them with MMEngine."""

import mmcv.transforms  # noqa: F401

from mmcm.datasets.transforms.center_crop import CenterCropToSize, CenterCropToSquare
from mmcm.datasets.transforms.center_pad import CenterPad
from mmcm.datasets.transforms.load_image import LoadImage
from mmcm.datasets.transforms.pack_image import PackImage
from mmcm.datasets.transforms.random_affine import RandomAffine
from mmcm.datasets.transforms.random_crop import RandomCropToSize, RandomCropToSquare
from mmcm.datasets.transforms.to_grey import ToGrey

__all__ = [
    'CenterCropToSize',
    'CenterCropToSquare',
    'CenterPad',
    'LoadImage',
    'PackImage',
    'RandomAffine',
    'RandomCropToSize',
    'RandomCropToSquare',
    'ToGrey',
]
