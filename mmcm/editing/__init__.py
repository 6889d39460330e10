"""Editing without training for it: what is known of a picture is kept, the rest is drawn."""
from mmcm.editing.base import EditingOperator
from mmcm.editing.colorization import Colorization
from mmcm.editing.deblurring import Deblurring
from mmcm.editing.guide import Denoising, Guide
from mmcm.editing.inpainting import Inpainting
from mmcm.editing.known_kept import editing_sampler, known_kept
from mmcm.editing.super_resolution import SuperResolution
from mmcm.editing.tiles import Tiles, tiled

__all__ = [
    'Colorization', 'Deblurring', 'Denoising', 'EditingOperator', 'Guide', 'Inpainting', 'SuperResolution',
    'Tiles', 'editing_sampler', 'known_kept', 'tiled'
]
