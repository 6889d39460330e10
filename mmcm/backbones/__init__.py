"""Networks F(x, t)."""

from mmcm.backbones.adm_unet import ADMUNet
from mmcm.backbones.dhariwal_unet import DhariwalUNet
from mmcm.backbones.edm2_unet import EDM2UNet
from mmcm.backbones.imf_transformer import IMFTransformer
from mmcm.backbones.pmf_transformer import PMFTransformer
from mmcm.backbones.song_unet import SongUNet

__all__ = ['ADMUNet', 'DhariwalUNet', 'EDM2UNet', 'IMFTransformer', 'PMFTransformer', 'SongUNet']
