"""Files of others: what diffusers writes and reads, and the text of a config inside a checkpoint.

Nothing here imports torch before weights are asked for, so that the zoo can tell a folder of diffusers from any other.
"""
from mmcm.interop.config_text import config_text, parse_config, setting, text_and_size
from mmcm.interop.diffusers_folder import is_diffusers_folder, read_config, read_weights, write_folder
from mmcm.interop.diffusers_unet import backbone_config, from_diffusers, to_diffusers, unet_config
from mmcm.interop.trusted_config import embedded_config

__all__ = [
    'backbone_config', 'config_text', 'embedded_config', 'from_diffusers', 'is_diffusers_folder', 'parse_config',
    'read_config', 'read_weights', 'setting', 'text_and_size', 'to_diffusers', 'unet_config', 'write_folder'
]
