"""Networks F(x, t)."""

from mmcm.backbones.adm_unet import ADMUNet
from mmcm.backbones.edm2_unet import EDM2UNet

__all__ = ['ADMUNet', 'EDM2UNet']
