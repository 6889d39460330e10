import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmcm.apis.evaluation.tester import build_evaluator, evaluator_config
from mmcm.registry import CURRICULA, DATASETS, HOOKS, METRICS, MODELS
from mmcm.zoo import list_models
from support.parity import manifest

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = sorted(path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_')
PAPER = [
    f'consistency_models/consistency_models_{rest}.py'
    for rest in (
        '8xb256-imagenet1k-onestep-64x64',
        '8xb256-imagenet1k-multistep-64x64',
        '8xb32-LSUN-bedroom-onestep-256x256',
        '8xb32-LSUN-bedroom-multistep-256x256',
        '8xb32-LSUN-cat-onestep-256x256',
        '8xb32-LSUN-cat-multistep-256x256',
    )
]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_config_builds(path):
    config = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    for hook in config.default_hooks.values():
        HOOKS.build(hook)
    if 'test_evaluator' in config:
        build_evaluator(evaluator_config(config))  # whose data are looked at later
    if 'val_evaluator' in config:
        METRICS.build(config.val_evaluator)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config.get(loader, {}).get('dataset', {})
        if dataset and 'data_root' not in dataset:  # the others' images are not here
            assert len(DATASETS.build(dataset)) > 0
        assert not dataset or DATASETS.get(dataset.type)
    if hasattr(model, 'sampler'):
        assert model.sampler.nfe > 0 and model.objective is not None


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


def test_judges_of_the_digits_have_a_network_and_a_name_each():
    config = Config.fromfile(CONFIGS / 'digits/judges_1xb32_digits-8x8.py')
    evaluator = build_evaluator(evaluator_config(config))
    judges = [metric for metric in evaluator.metrics if metric.prefix.startswith('frechet')]
    assert len({metric.prefix for metric in judges}) == len({metric.extractor for metric in judges}) == 10
    for metric in judges:
        name = metric.prefix.removeprefix('frechet').removeprefix('_')
        file = f'digits_judge_{name}' if name else 'digits_classifier'
        assert metric.extractor.config['checkpoint'] == f'package:weights/{file}.safetensors'


def test_every_model_of_the_zoo_has_its_config():
    for model in list_models():
        config = Config.fromfile(CONFIGS.parent / model.config)
        boundary = config.model.denoiser.get('boundary', True)
        assert boundary != model.name.startswith('edm')


TRAINED = [path for path in FILES if Config.fromfile(path).model.type == 'ConsistencyModel']
BOUNDARY = dict(  # whether D(x, sigma_min) = x has to hold by itself; TrigFlow's denoiser has it at 0
    EDM=False,
    ProgressiveDistillation=False,
    EasyConsistencyTuning=False,
    ConsistencyDistillation=True,
    ConsistencyTraining=True,
    ImprovedConsistencyTraining=True,
)


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_objective_has_the_denoiser_that_it_is_made_for(path):
    model = Config.fromfile(path).model
    if model.objective.type in BOUNDARY:
        assert model.denoiser.type == 'KarrasDenoiser'
        assert model.denoiser.get('boundary', True) is BOUNDARY[model.objective.type]
    else:
        assert model.denoiser.type == 'TrigFlowDenoiser'
        assert model.objective.type in ('ContinuousConsistencyTraining', 'ContinuousConsistencyDistillation')
        assert model.denoiser.time_scale > 0
        if 'teacher' in model:  # the weights of an EDM expect 250 log sigma
            assert model.teacher.denoiser == dict(time_scale=None)


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_weights_to_begin_with_are_a_model_of_the_same_network(path):
    zoo = {model.name: CONFIGS.parent / model.config for model in list_models()}
    recipes = {f'work_dirs/{path.stem}': path for path in FILES}
    model = Config.fromfile(path).model
    teacher, start = model.get('teacher', {}).get('checkpoint'), model.get('init_from')
    for source in {teacher, start} - {None, 'teacher'}:
        origin = Config.fromfile({**zoo, **recipes}[source]).model
        # A consistency model is tuned further by the objective that made it; all others begin with a diffusion model.
        assert origin.objective.type == 'EDM' or (source == start and origin.objective.type == model.objective.type)
        networks = [dict(config.denoiser.backbone, dropout=None) for config in (origin, model)]
        assert networks[0] == networks[1]


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_curriculum_ends_where_the_training_ends(path):
    config = Config.fromfile(path)
    steps = config.train_cfg.max_iters
    curriculum = config.model.objective.get('curriculum', {})
    if 'total_steps' in curriculum:
        assert curriculum.total_steps == steps
        assert CURRICULA.build(curriculum)(steps - 1)[0] == curriculum.end_scales + 1
    elif curriculum.get('type') == 'HalvingCurriculum':
        assert CURRICULA.build(curriculum)(steps - 1)[0] == 1
    elif curriculum.get('type') == 'ShrinkingCurriculum':
        assert steps % curriculum.stage_length == 0


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('progressive_distillation/*.py')), ids=lambda path: path.stem)
def test_learning_rate_restarts_with_each_number_of_steps(path):
    config = Config.fromfile(path)
    steps, periods = config.train_cfg.max_iters, config.param_scheduler.periods
    curriculum = config.model.objective.curriculum
    num_steps = CURRICULA.build(curriculum)
    renewals = [
        step
        for step in range(curriculum.stage_length, steps, curriculum.stage_length)
        if num_steps(step) != num_steps(step - 1)
    ]
    assert renewals == [sum(periods[:count]) for count in range(1, len(periods))]
    assert sum(periods) == steps


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_recipe_is_the_one_of_the_checkpoint_that_it_draws_from(path):
    config = Config.fromfile(path)
    checkpoint = config.get('checkpoint', '')
    for metric, distance in (('_l2', 'L2'), ('_lpips', 'LPIPS')):
        if checkpoint.endswith(metric):
            assert config.model.objective.distance.type == distance
    for kind, objective in (('edm_', 'EDM'), ('cd_', 'ConsistencyDistillation'), ('ct_', 'ConsistencyTraining')):
        if checkpoint.startswith(kind):
            assert config.model.objective.type == objective
    sampler = next((model.sampler for model in list_models() if model.name == checkpoint), None)
    if sampler:  # the released two-step points count among the levels of the recipe
        assert config.model.sampler.num_scales == sampler['num_scales']
    if checkpoint:
        assert checkpoint in {model.name for model in list_models()}


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
