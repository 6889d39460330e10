"""Augmentations of training images, with labels that describe them to the network."""

from mmcm.augmentations.edm import EDMAugmentation

__all__ = ['EDMAugmentation']
