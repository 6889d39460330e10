import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from parity import manifest

from mmcm.registry import DATASETS, HOOKS, METRICS, MODELS
from mmcm.zoo import list_models

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = sorted(path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_')
PAPER = [
    f'consistency_models/consistency_models_{rest}.py' for rest in (
        '8xb256-imagenet1k-onestep-64x64', '8xb256-imagenet1k-multistep-64x64', '8xb32-LSUN-bedroom-onestep-256x256',
        '8xb32-LSUN-bedroom-multistep-256x256', '8xb32-LSUN-cat-onestep-256x256', '8xb32-LSUN-cat-multistep-256x256')
]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_config_builds(path):
    config = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    for hook in config.default_hooks.values():
        HOOKS.build(hook)
    for metric in [*config.get('test_evaluator', []), *([config.val_evaluator] if 'val_evaluator' in config else [])]:
        METRICS.build(metric)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config.get(loader, {}).get('dataset', {})
        if dataset and 'data_root' not in dataset:  # the others' images are not here
            assert len(DATASETS.build(dataset)) > 0
    if hasattr(model, 'sampler'):
        assert model.sampler.num_calls > 0 and model.objective is not None


@pytest.mark.parametrize('name', PAPER)
def test_configs_of_the_paper_have_the_network_of_the_released_files(name):
    config = Config.fromfile(CONFIGS / name)
    keys, content = manifest('imagenet64' if 'imagenet' in name else 'lsun256')
    with torch.device('meta'):
        backbone = MODELS.build(config.model.denoiser.backbone)
    assert {key: tuple(tensor.shape) for key, tensor in backbone.state_dict().items()} == keys
    assert sum(parameter.numel() for parameter in backbone.parameters()) == content['num_parameters']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_batch_size_is_what_the_name_promises(path):
    devices, batch_size = map(int, re.search(r'(\d+)xb(\d+)', path.stem).groups())
    config = Config.fromfile(path)
    assert config.train_dataloader.batch_size == batch_size
    if 'auto_scale_lr' in config:
        assert config.auto_scale_lr.base_batch_size == devices * batch_size


def test_every_model_of_the_zoo_has_its_config():
    for model in list_models():
        config = Config.fromfile(CONFIGS.parent / model.config)
        boundary = config.model.denoiser.get('boundary', True)
        assert boundary != model.name.startswith('edm')


def test_configs_are_written_in_python_values():
    """Lists in strings and empty strings for nothing are what the older implementation had."""

    def strings(value):
        if isinstance(value, dict):
            return [text for part in value.values() for text in strings(part)]
        if isinstance(value, (list, tuple)):
            return [text for part in value for text in strings(part)]
        return [value] if isinstance(value, str) else []

    for path in FILES:
        assert all(text and ',' not in text for text in strings(Config.fromfile(path)._cfg_dict.to_dict())), path
