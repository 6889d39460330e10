"""The model zoo: what it holds, and how its files come to this machine."""
from mmcm.utils.config_files import find_config, list_configs, nearest, root
from mmcm.zoo.catalog import ZooModel, find, list_models, released_sampler
from mmcm.zoo.checkpoint_path import addresses, cache_folder, cached_file, cached_place
from mmcm.zoo.download import download, recorded_sha256
from mmcm.zoo.work_directory import checkpoints_in, holds_run, last_checkpoint

__all__ = [
    'ZooModel', 'addresses', 'cache_folder', 'cached_file', 'cached_place', 'checkpoints_in', 'download', 'find',
    'find_config', 'holds_run', 'last_checkpoint', 'list_configs', 'list_models', 'nearest', 'recorded_sha256',
    'released_sampler', 'root'
]
