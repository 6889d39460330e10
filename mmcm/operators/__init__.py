"""Editing without training for it: what is known of a picture is kept, the rest is drawn."""

from mmcm.operators.base import EditingOperator
from mmcm.operators.colorization import Colorization
from mmcm.operators.data_consistency import editing_sampler, known_kept
from mmcm.operators.deblurring import Deblurring
from mmcm.operators.inpainting import Inpainting
from mmcm.operators.sdedit import Denoising, Guide
from mmcm.operators.super_resolution import SuperResolution
from mmcm.operators.tiles import Tiles, tiled

__all__ = [
    'Colorization',
    'Deblurring',
    'Denoising',
    'EditingOperator',
    'Guide',
    'Inpainting',
    'SuperResolution',
    'Tiles',
    'editing_sampler',
    'known_kept',
    'tiled',
]
