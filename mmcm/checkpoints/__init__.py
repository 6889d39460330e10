"""From the name of a checkpoint to its weights: locate, download, read, check and write.

`checkpoint.Checkpoint` is the way in. It loads torch, and nothing here does before it, so that `mmcm zoo` is quick.
"""

from mmcm.checkpoints.config_parser import parse_config, setting
from mmcm.checkpoints.download import download, recorded_sha256
from mmcm.checkpoints.locate import addresses, cache_folder, cached_place, resolve_checkpoint
from mmcm.checkpoints.work_directory import checkpoints_in, holds_run, last_checkpoint
from mmcm.renamed import moved_name

__all__ = [
    'addresses',
    'cache_folder',
    'cached_place',
    'checkpoints_in',
    'download',
    'holds_run',
    'last_checkpoint',
    'parse_config',
    'recorded_sha256',
    'resolve_checkpoint',
    'setting',
]


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
