"""Distances d(a, b) between images."""

from mmcm.distances.lpips import LPIPS
from mmcm.distances.pixelwise import L1, L2, PseudoHuber

__all__ = ['L1', 'L2', 'LPIPS', 'PseudoHuber']
