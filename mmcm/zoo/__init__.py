"""The model zoo: what it holds, and how its files come to this machine."""
from mmcm.zoo.catalog import ZooModel, find, find_config, list_models, nearest, root
from mmcm.zoo.checkpoint_path import cached_file
from mmcm.zoo.download import download

__all__ = ['ZooModel', 'cached_file', 'download', 'find', 'find_config', 'list_models', 'nearest', 'root']
