"""From the name of a checkpoint to its weights: locate, download, read, check and write.

Nothing here imports torch before weights are asked for, so that `mmcm zoo` is quick.
"""

from mmcm.checkpoints.config_text import config_text, parse_config, setting, text_and_size
from mmcm.checkpoints.download import download, recorded_sha256
from mmcm.checkpoints.locate import addresses, cache_folder, cached_file, cached_place
from mmcm.checkpoints.trusted_config import embedded_config
from mmcm.checkpoints.work_directory import checkpoints_in, holds_run, last_checkpoint
from mmcm.renamed import moved_name

__all__ = [
    'addresses',
    'cache_folder',
    'cached_file',
    'cached_place',
    'checkpoints_in',
    'config_text',
    'download',
    'embedded_config',
    'holds_run',
    'last_checkpoint',
    'parse_config',
    'recorded_sha256',
    'setting',
    'text_and_size',
]


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
