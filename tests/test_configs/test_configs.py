import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmcm.apis.evaluation.tester import build_evaluator, evaluator_config
from mmcm.cli.model_arguments import recipe_of
from mmcm.config import read_config
from mmcm.engine.loops.sample_val_loop import shortened
from mmcm.evaluation.training_references import with_references
from mmcm.registry import CURRICULA, DATASETS, HOOKS, MODELS, OBJECTIVES, SAMPLERS
from mmcm.zoo import find_config, list_configs, list_models
from support.parity import manifest

CONFIGS = Path(__file__).parents[2] / 'configs'
RENAMED = {  # the former names of configs; the file at each is a note with the new name
    '_base_/models/adm_28x28_mnist.py': '_base_/models/adm_mnist-28x28.py',
    '_base_/models/adm_32x32_cifar.py': '_base_/models/adm_cifar10-32x32.py',
    '_base_/models/adm_32x32_photo.py': '_base_/models/adm_photo-patches-32x32.py',
    '_base_/models/adm_8x8.py': '_base_/models/adm_digits-8x8.py',
    '_base_/models/consistency_adm_256x256.py': '_base_/models/adm_lsun-256x256.py',
    '_base_/models/consistency_adm_64x64.py': '_base_/models/adm_imagenet-64x64.py',
    '_base_/objectives/distillation_minutes.py': '_base_/objectives/cd_minutes.py',
    'edm/edm_8xb32-LSUN-bedroom-256x256.py': 'edm/edm_8xb32_LSUN-bedroom-256x256.py',
    'edm/edm_8xb32-LSUN-cat-256x256.py': 'edm/edm_8xb32_LSUN-cat-256x256.py',
    'edm/edm_8xb512-imagenet1k-64x64.py': 'edm/edm_8xb512_imagenet1k-64x64.py',
}
FILES = sorted(set(CONFIGS.glob('[!_]*/*.py')) - {CONFIGS / name for name in RENAMED})
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
        build_evaluator(with_references(config.val_evaluator, config.train_dataloader.dataset))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = config.get(loader, {}).get('dataset', {})
        if dataset and not {'data_root', 'data_file'} & dataset.keys():  # the others' images are not here
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


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_name_is_method_batch_data_and_size(path):
    if path.parent.name != 'consistency_models':  # whose names are those of MMagic
        _, data = re.fullmatch(r'([a-z0-9-]+)_\d+xb\d+_([A-Za-z0-9-]+-\d+x\d+)', path.stem).groups()
        size = max(map(int, re.findall(r'(\d+)x(\d+)$', data)[0]))
        model = Config.fromfile(path).model
        pixels = MODELS.build(model.autoencoder).downscale if 'autoencoder' in model else 1
        assert model.type != 'ConsistencyModel' or pixels * model.denoiser.backbone.image_size == size


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_recipe_takes_samplers_objectives_data_and_classes_from_bases(path):
    code = path.read_text()
    types = set(re.findall(r"type='(\w+)'", code))
    if not path.stem.startswith('classifier'):  # no consistency models
        assert not types & {*OBJECTIVES.module_dict, *SAMPLERS.module_dict, *CURRICULA.module_dict}
        assert 'num_classes' not in code and 'data_root' not in code


@pytest.mark.parametrize('kind', ['OBJECTIVES', 'SAMPLERS'])
def test_objective_and_sampler_stand_in_one_base_each(kind):
    registry = dict(OBJECTIVES=OBJECTIVES, SAMPLERS=SAMPLERS)[kind]
    bases = '\n'.join(path.read_text() for path in (CONFIGS / '_base_').rglob('*.py'))
    counts = Counter(name for name in re.findall(r"type='(\w+)'", bases) if name in registry.module_dict)
    assert len(counts) >= 3 and set(counts.values()) == {1}


@pytest.mark.parametrize('page', ['README.md', 'README_zh-CN.md'])
def test_recipe_in_the_page_of_the_bases_can_be_read(page, tmp_path):
    (code,) = re.findall('```python\n(.*?)```', (CONFIGS / '_base_' / page).read_text('utf-8'), re.DOTALL)
    (tmp_path / 'own.py').write_text(code)
    model = MODELS.build(read_config(tmp_path / 'own.py').model)
    assert model.objective.curriculum(model.objective.curriculum.total_steps - 1)[0] == 151


@pytest.mark.parametrize('old', RENAMED)
def test_former_name_of_a_config_warns_and_is_the_new_one(old):
    expected = Config.fromfile(CONFIGS / RENAMED[old]).to_dict()
    with pytest.warns(DeprecationWarning, match=re.escape(RENAMED[old])):
        config = Config.fromfile(CONFIGS / old).to_dict()
    if old.startswith('_base_/objectives'):  # it had the objective as a variable
        assert config['distillation'] == expected.pop('method')['objective']
        config.pop('distillation')
    assert config == expected


@pytest.mark.parametrize('old', RENAMED)
@pytest.mark.parametrize('kind', ['path', 'mmcm::'])
def test_former_name_of_a_config_is_a_base(old, kind, tmp_path):
    base = f'mmcm::{old}' if kind == 'mmcm::' else str(CONFIGS / old)
    (tmp_path / 'own.py').write_text(f'_base_ = {base!r}\n')
    with pytest.warns(DeprecationWarning, match=re.escape(RENAMED[old])):
        assert read_config(tmp_path / 'own.py').to_dict()


@pytest.mark.parametrize('old', [name for name in RENAMED if not name.startswith('_base_')])
def test_former_name_of_a_recipe_is_found(old):
    assert find_config(Path(old).stem) == find_config(f'configs/{old}').absolute() == CONFIGS / old
    assert CONFIGS / old in list_configs(former_names=True) and CONFIGS / old not in list_configs()


def test_run_of_a_config_by_its_former_name_is_known(tmp_path):
    (tmp_path / 'edm_8xb512-imagenet1k-64x64.py').touch()  # MMEngine's copy in the work directory
    assert Path(recipe_of(tmp_path)).stem == 'edm_8xb512-imagenet1k-64x64'


def test_command_notes_the_new_name_of_a_config(tmp_path):
    command = [sys.executable, '-m', 'mmcm', 'statistics', 'edm_8xb512-imagenet1k-64x64', '--out', 'none.npz']
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(CONFIGS.parent)}
    )
    assert result.returncode == 2 and 'there is no data folder' in result.stderr
    assert 'Please use configs/edm/edm_8xb512_imagenet1k-64x64.py instead' in result.stderr


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
        assert boundary != (model.name.startswith('edm') or model.method == 'ECT')  # which has it in its loss


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
    elif model.objective.type in ('MeanFlow', 'ImprovedMeanFlow', 'PixelMeanFlow', 'SolutionFlow', 'Shortcut'):
        assert model.denoiser.type == 'FlowMapDenoiser' and model.sampler.type == 'FlowMapSampler'
        guided = model.denoiser.get('guided', False) or model.objective.get('guidance', 1.0) != 1.0
        with torch.device('meta'):
            denoiser = MODELS.build(model.denoiser)
        assert not guided or (denoiser.null_label is not None and model.label_dropout > 0)
        assert (denoiser.prediction == 'x') == (model.objective.type == 'PixelMeanFlow')
        assert denoiser.noise_scale == model.sampler.get('noise_scale', 1.0)
    elif model.objective.type == 'TruncatedConsistencyTuning':
        assert model.denoiser.type == 'TruncatedDenoiser'
    else:
        assert model.denoiser.type == 'TrigFlowDenoiser'
        assert model.objective.type in ('ContinuousConsistencyTraining', 'ContinuousConsistencyDistillation')
        # Without a scale of its own, the network takes c_noise, which must not turn fast with t.
        assert (model.denoiser.time_scale or 0) > 0 or model.denoiser.c_noise == 'log(sigma) / 4'
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
        # A consistency model is tuned further by the objective that made it, or by TCM from ECT; all others begin with
        # a diffusion model.
        kind = model.objective.type
        if kind == 'TruncatedConsistencyTuning':
            assert origin.objective.type == 'EasyConsistencyTuning'
        else:
            assert origin.objective.type == 'EDM' or (source == start and origin.objective.type == kind)
        training = dict(dropout=None, dropout_resolution=None)
        networks = [dict(config.denoiser.backbone, **training) for config in (origin, model)]
        assert networks[0] == networks[1]


@pytest.mark.parametrize('path', TRAINED, ids=lambda path: path.stem)
def test_curriculum_ends_where_the_training_ends(path):
    config = Config.fromfile(path)
    steps = config.train_cfg.max_iters
    curriculum = config.model.objective.get('curriculum', {})
    if 'total_steps' in curriculum:
        assert curriculum.total_steps == steps
        if curriculum.type == 'AnnealingCurriculum':
            assert CURRICULA.build(curriculum)(steps).ratio == pytest.approx(0.002)
        else:
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


VALIDATED = [path for path in TRAINED if 'val_cfg' in Config.fromfile(path)]


def test_recipes_without_a_download_validate():
    families = {path.stem.partition('_')[2].partition('_')[2].rpartition('-')[0] for path in VALIDATED}
    assert families == {'digits', 'photo-patches', 'mnist', 'cifar10'}


@pytest.mark.parametrize('path', VALIDATED, ids=lambda path: path.stem)
def test_validation_costs_a_twentieth_of_the_training_at_most(path):
    """In calls of the network for an image; those of a training step have a backward pass, of twice the cost."""
    config = Config.fromfile(path)
    nfe = shortened(config.model.sampler, SAMPLERS.build(config.model.sampler), config.val_cfg.max_nfe).nfe
    trained = 3 * config.train_cfg.val_interval * config.train_dataloader.batch_size
    assert nfe * config.val_dataloader.dataset.num_samples <= trained / 20


def test_inception_validates_where_its_base_is_listed(tmp_path):
    (tmp_path / 'own.py').write_text(
        "_base_ = ['mmcm::edm/edm_8xb512_imagenet1k-64x64.py', 'mmcm::_base_/evaluation/validation_inception.py']\n"
        "val_evaluator = dict(reference='train')\n"
    )
    config = read_config(tmp_path / 'own.py')
    assert [metric.type for metric in config.val_evaluator.metrics] == ['FrechetDistance', 'SlicedWasserstein']
    assert config.val_dataloader.dataset.num_samples > 2048 and config.val_cfg.type == 'SampleValLoop'
