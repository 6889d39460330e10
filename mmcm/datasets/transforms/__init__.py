"""Transforms of images. Those of mmcv are available, too: importing them registers them with MMEngine."""

import mmcv.transforms  # noqa: F401

from mmcm.datasets.transforms.center_crop import CenterCropToSquare
from mmcm.datasets.transforms.center_pad import CenterPad
from mmcm.datasets.transforms.load_image import LoadImage
from mmcm.datasets.transforms.pack_image import PackImage
from mmcm.datasets.transforms.random_affine import RandomAffine
from mmcm.datasets.transforms.random_crop import RandomCropToSquare

__all__ = ['CenterCropToSquare', 'CenterPad', 'LoadImage', 'PackImage', 'RandomAffine', 'RandomCropToSquare']
