"""Augmentations of training images, of which the network is told by labels."""

from mmcm.augmentations.edm import EDMAugmentation

__all__ = ['EDMAugmentation']
