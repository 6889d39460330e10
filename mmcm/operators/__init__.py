"""What is known of an image in each kind of editing, as operators on tensors.

With them, a model edits without being trained for it: what is known is kept, and the rest is sampled
(`ConsistencyModel.edit`).
"""

from mmcm.operators.base import EditingOperator
from mmcm.operators.colorization import Colorization
from mmcm.operators.deblurring import Deblurring
from mmcm.operators.inpainting import Inpainting
from mmcm.operators.sdedit import Denoising, SDEdit
from mmcm.operators.super_resolution import SuperResolution
from mmcm.operators.tiles import Tiles, tiled
from mmcm.renamed import moved_name

__all__ = [
    'Colorization',
    'Deblurring',
    'Denoising',
    'EditingOperator',
    'Inpainting',
    'SDEdit',
    'SuperResolution',
    'Tiles',
    'tiled',
]


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
