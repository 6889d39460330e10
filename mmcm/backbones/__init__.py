"""Networks F(x, t)."""

from mmcm.backbones.adm_unet import ADMUNet
from mmcm.backbones.imf_transformer import IMFTransformer
from mmcm.backbones.pmf_transformer import PMFTransformer

__all__ = ['ADMUNet', 'IMFTransformer', 'PMFTransformer']
