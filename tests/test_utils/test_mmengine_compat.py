"""Each private name of MMEngine that mmcm uses exists and behaves as mmcm expects."""

import ast
import re
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import mmengine
import pytest
import torch
from mmengine._strategy import FSDPStrategy, SingleDeviceStrategy
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from mmcm.datasets.samplers import ResumableSampler
from mmcm.engine import MicroBatchTrainLoop, WholeCheckpointHook
from mmcm.utils import mmengine_compat as compat
from support.runs import config

PACKAGE = Path(__file__).parents[2] / 'mmcm'


@pytest.fixture
def runner(tmp_path):
    return Runner.from_cfg(config(tmp_path))


def test_base_of_a_config_file_is_found(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\n')
    path, scope = compat.find_base('./base.py', str(tmp_path / 'child.py'))
    assert Path(path).resolve() == (tmp_path / 'base.py').resolve() and scope is None


def test_finder_of_bases_is_what_mmengine_asks(tmp_path):
    (tmp_path / 'own.py').write_text('a = 1\n')
    (tmp_path / 'child.py').write_text("_base_ = 'anything'\nb = 2\n")
    before = compat.replace_base_finder(lambda base, filename: (str(tmp_path / 'own.py'), None))
    try:
        assert Config.fromfile(tmp_path / 'child.py').to_dict() == dict(a=1, b=2)
    finally:
        assert compat.replace_base_finder(before) is not before


def test_content_is_no_copy():
    settings = Config(dict(a=dict(b=1)))
    compat.content(settings)['a']['b'] = 2
    assert settings.a.b == 2


@pytest.mark.parametrize('resume', [True, False])
def test_options_of_a_runner_are_those_of_its_config(tmp_path, resume):
    runner = Runner.from_cfg(config(tmp_path, resume=resume, load_from='x.pth'))
    assert compat.resume_option(runner) is resume and compat.load_option(runner) == 'x.pth'


def test_loops_are_found_once_they_are_built(runner):
    assert compat.built_loops(runner) == {}
    loop = runner.build_train_loop(runner._train_loop)
    runner._train_loop = loop
    assert compat.built_loops(runner) == dict(train_dataloader=loop)


def test_iteration_of_a_loop_is_the_runners(runner):
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    compat.set_iteration(runner.train_loop, 3)
    assert runner.iter == runner.train_loop.iter == 3
    assert isinstance(runner.train_loop, IterBasedTrainLoop) and issubclass(MicroBatchTrainLoop, IterBasedTrainLoop)


def test_gradients_accumulate_as_often_as_told():
    weight = torch.nn.Parameter(torch.zeros(1))
    wrapper = OptimWrapper(torch.optim.SGD([weight], lr=1.0), accumulative_counts=2)
    assert compat.accumulative_counts(wrapper) == 2
    compat.multiply_accumulative_counts(wrapper, 2)
    assert compat.accumulative_counts(wrapper) == 4
    values = []
    for _ in range(4):
        wrapper.update_params(weight.sum())
        values.append(weight.item())
    assert values == [0.0, 0.0, 0.0, -1.0]


def test_counts_of_deepspeed_are_the_engines():
    wrapper = type('Wrapper', (compat.CountedByDeepSpeed, OptimWrapper), dict(__init__=lambda self: None))()
    wrapper.model = SimpleNamespace(gradient_accumulation_steps=lambda: 4, micro_steps=6)
    assert compat.accumulative_counts(wrapper) == 4 and not wrapper.should_update()
    wrapper.model.micro_steps = 8
    assert wrapper.should_update()
    assert issubclass(compat.strategies().deepspeed.DeepSpeedOptimWrapper, mmengine.optim.BaseOptimWrapper)


def test_hook_saves_by_its_own_step():
    hook = WholeCheckpointHook(by_epoch=False)
    saved = []
    hook.save_step = lambda runner, step, meta: saved.append(step)
    compat.save_checkpoint(hook, SimpleNamespace(iter=6, epoch=0))
    assert saved == [7]
    assert '_save_checkpoint_with_step' in vars(CheckpointHook)


def test_order_of_a_sampler_is_what_it_iterates_over():
    for kind in (InfiniteSampler, ResumableSampler):
        sampler = kind(range(5), seed=3)
        assert list(islice(compat.indices_of_rank(sampler), 12)) == list(islice(iter(sampler), 12))


def test_order_from_the_start_is_that_of_indices_from():
    sampler = ResumableSampler(range(5), seed=3)
    sampler.start = 4
    assert list(islice(compat.indices_of_rank(sampler), 9)) == list(islice(InfiniteSampler(range(5), seed=3), 9))


def test_strategies_are_told_from_other_classes():
    assert compat.strategies().FSDPStrategy is FSDPStrategy
    assert compat.is_strategy(object.__new__(SingleDeviceStrategy)) and not compat.is_strategy(OptimWrapper)


def test_strategy_seeds_torch():
    strategy, drawn = SingleDeviceStrategy(), []
    for _ in range(2):
        compat.seed_strategy(strategy, dict(seed=7))
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_strategy_knows_whether_it_writes_whole_weights():
    kind = type('Strategy', (FSDPStrategy,), dict(__init__=lambda self: None))
    for settings, whole in (('full', True), ('local', False)):
        strategy = kind()
        strategy.state_dict_type, strategy.state_dict_config, strategy.optim_state_dict_config = None, None, None
        strategy._init_state_dict_cfg(settings)
        assert compat.saves_whole_weights(strategy) is whole


def test_runners_look_up_the_latest_checkpoint_in_these_modules():
    names = {module.__name__ for module in compat.runner_modules()}
    assert names == {'mmengine.runner', 'mmengine.runner.runner', 'mmengine.runner._flexible_runner'}
    assert all(hasattr(module, 'find_latest_checkpoint') for module in compat.runner_modules())


def test_schemes_of_checkpoints_are_listed():
    schemes = compat.checkpoint_schemes()
    assert {'', 'http://', 'https://'} <= set(schemes) and any('s3' in scheme for scheme in schemes)


def test_state_of_a_schedule_has_the_keys_of_its_progress():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = LinearLR(optimizer, start_factor=0.5, end=4, by_epoch=False)
    before = schedule.state_dict()
    optimizer.step()
    schedule.step()
    changed = {key for key, value in schedule.state_dict().items() if before[key] != value}
    assert compat.SCHEDULER_STEP in changed and changed <= compat.SCHEDULER_PROGRESS


PRIVATE = sorted(set(re.findall(r'\._([a-z]\w+)', (PACKAGE / 'utils' / 'mmengine_compat.py').read_text())))


def test_private_names_are_used_nowhere_else():
    assert {'accumulative_counts', 'get_cfg_path', 'iter', 'resume', 'strategy'} <= set(PRIVATE)
    found = []
    for path in set(PACKAGE.rglob('*.py')) - {PACKAGE / 'utils' / 'mmengine_compat.py'}:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, 'attr', getattr(node, 'module', None))
            own = isinstance(getattr(node, 'value', None), ast.Name) and node.value.id == 'self'
            if isinstance(name, str) and not own and {f'_{each}' for each in PRIVATE} & set(name.split('.')):
                found.append(f'{path.relative_to(PACKAGE)}: {name}')
    assert found == []


def test_best_checkpoint_is_written_by_our_hook(tmp_path, monkeypatch):
    runner = Runner.from_cfg(config(tmp_path))
    hook = WholeCheckpointHook(by_epoch=False, save_best='x/distance')
    saved = []
    monkeypatch.setattr(hook, 'save_best_of', lambda runner, metrics: saved.append(metrics))
    hook.after_val_epoch(runner, {'x/distance': 1.0})  # MMEngine's, which calls `_save_best_checkpoint`
    assert saved == [{'x/distance': 1.0}]


@pytest.mark.parametrize(
    'key, better, worse',
    [
        ('frechet/distance', 1.0, 2.0),
        ('frechet/spatial_distance', 1.0, 2.0),
        ('kernel/distance', 1.0, 2.0),
        ('sliced_wasserstein/distance', 1.0, 2.0),
        ('FID', 1.0, 2.0),
        ('label/accuracy', 2.0, 1.0),
        ('inception/score', 2.0, 1.0),
        ('precision_recall/recall', 2.0, 1.0),
    ],
)
def test_rule_of_a_metric_follows_from_its_name(key, better, worse):
    hook = WholeCheckpointHook(by_epoch=False, save_best='auto')
    hook.infer_rule(key)
    assert hook.key_indicators == [key] and hook.is_better_than[key](better, worse)


def test_metric_whose_name_tells_no_rule_is_a_value_error():
    with pytest.raises(ValueError, match='rule'):
        WholeCheckpointHook(by_epoch=False, save_best='auto').infer_rule('mine/value')
