"""Networks F(x, t)."""

from mmcm.backbones.adm_unet import ADMUNet

__all__ = ['ADMUNet']
