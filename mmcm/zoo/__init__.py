"""The model zoo's catalogue: names, configs, addresses, published scores. It imports neither torch nor MMEngine."""

from mmcm.renamed import moved_name
from mmcm.zoo.catalog import ZooModel, find, list_models, list_recipes, lookup, released_sampler
from mmcm.zoo.config_files import find_config, list_configs, root

__all__ = [
    'ZooModel',
    'find',
    'find_config',
    'list_configs',
    'list_models',
    'list_recipes',
    'lookup',
    'released_sampler',
    'root',
]


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
