"""Killed processes leave whole checkpoints, and at least one of them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from mmcm.engine import WholeCheckpointHook
from mmcm.engine.resuming.safe_loading import find_latest_checkpoint
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from support.patience import PATIENCE
from support.runs import config
from support.validations import validated_config

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mmengine.runner import Runner
from support.runs import config

write = Path.write_bytes
def dying_write(path, content):  # dies as by SIGKILL, with half of the file on the disk
    if sys.argv[3] in path.name:
        write(path, content[:len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, content)
Path.write_bytes = dying_write

cfg = config(Path(sys.argv[2]), iterations=4)
cfg.default_hooks.checkpoint.update(type='WholeCheckpointHook', interval=2, max_keep_ckpts=1)
Runner.from_cfg(cfg).train()
"""


def run_until_killed(folder, name):
    result = subprocess.run(
        [sys.executable, '-c', KILLED, Path(__file__).parents[2], folder, name],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr


def resumable(folder, iterations=4):
    cfg = config(folder, iterations=iterations, resume=True)
    cfg.default_hooks.checkpoint.update(type='WholeCheckpointHook', interval=2, max_keep_ckpts=1)
    return Runner.from_cfg(cfg)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file() and '_' in path.name)


def test_process_killed_while_it_writes_leaves_the_checkpoint_before(tmp_path):
    run_until_killed(tmp_path, 'iter_4')
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_2.pth')
    assert torch.load(tmp_path / 'iter_2.pth', weights_only=False)['meta']['iter'] == 2
    parts = [name for name in names(tmp_path) if name.endswith('.part')]
    assert len(parts) == 1 and 'iter_4.pth' not in names(tmp_path)
    runner = resumable(tmp_path)
    runner.train()
    assert runner.iter == 4
    assert [name for name in names(tmp_path) if 'iter' in name or 'last' in name] == ['iter_4.pth', 'last_checkpoint']


def test_process_killed_while_it_writes_the_name_of_the_checkpoint_can_be_resumed(tmp_path):
    run_until_killed(tmp_path, 'last_checkpoint')
    assert not (tmp_path / 'last_checkpoint').exists()
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_2.pth')


@pytest.mark.filterwarnings('ignore:.*has been created')  # two runners of one name in one process
def test_outdated_checkpoints_are_removed_in_a_resumed_run_too(tmp_path):
    cfg = config(tmp_path, iterations=4)
    cfg.default_hooks.checkpoint.update(type='WholeCheckpointHook', interval=1, max_keep_ckpts=2)
    Runner.from_cfg(cfg).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_3.pth', 'iter_4.pth']
    runner = resumable(tmp_path, iterations=6)
    runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_6.pth']


def test_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    cfg = config(tmp_path, iterations=4)
    cfg.default_hooks.checkpoint.update(type='WholeCheckpointHook', interval=2, max_keep_ckpts=1)
    write = Path.write_bytes

    def full(path, content):
        if 'iter_4' in path.name:
            raise OSError(28, 'No space left on device')
        return write(path, content)

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(ValueError, match='No space left'):
        Runner.from_cfg(cfg).train()
    assert list(tmp_path.glob('*iter*')) == [tmp_path / 'iter_2.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')


def test_own_choice_of_a_backend_stays(tmp_path):
    cfg = config(tmp_path, iterations=1)
    cfg.default_hooks.checkpoint.update(type='WholeCheckpointHook', backend_args=dict(backend='local'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, WholeCheckpointHook))
    assert type(hook.file_backend) is LocalBackend and (tmp_path / 'iter_1.pth').exists()


@METRICS.register_module(force=True)
class ScriptedMetric(BaseMetric):
    """A metric with given values, one for each validation."""

    def __init__(self, values, name='distance'):
        super().__init__(prefix='scripted')
        self.values, self.name = list(values), name

    def process(self, data_batch, data_samples):
        self.results += list(data_samples)

    def compute_metrics(self, results):
        return {self.name: self.values.pop(0)}


def scored(tmp_path, values, name='distance', **settings):
    """Train with a validation after each iteration, which has the scores `values`."""
    cfg = validated_config(tmp_path, len(values), interval=1)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1, **settings)
    cfg.val_evaluator = dict(type='ScriptedMetric', values=values, name=name)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.filterwarnings('ignore:.*has been created')
@pytest.mark.parametrize(
    'name, values, best', [('distance', [3.0, 1.0, 2.0, 1.0], 2), ('accuracy', [0.1, 0.3, 0.2, float('nan')], 2)]
)
def test_best_checkpoint_is_the_one_that_is_kept(tmp_path, name, values, best):
    runner = scored(tmp_path, values, name)
    assert [path.name for path in tmp_path.glob('best_*')] == [f'best_scripted_{name}_iter_{best}.pth']
    assert [path.name for path in tmp_path.glob('iter_*')] == ['iter_4.pth']
    kept = torch.load(tmp_path / f'best_scripted_{name}_iter_{best}.pth', weights_only=True)
    assert kept['meta']['iter'] == best and 'optimizer' not in kept
    hook = next(hook for hook in runner.hooks if isinstance(hook, WholeCheckpointHook))
    assert [Path(path).name for path in hook.best_paths().values()] == [f'best_scripted_{name}_iter_{best}.pth']


def test_best_checkpoint_before_stays_until_the_better_one_is_whole(tmp_path, monkeypatch):
    write = Path.write_bytes

    def full(path, content):
        if 'best' in path.name and 'iter_2' in path.name:
            raise OSError(28, 'No space left on device')
        return write(path, content)

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(ValueError, match='No space left'):
        scored(tmp_path, [2.0, 1.0])
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_scripted_distance_iter_1.pth']


def test_several_metrics_have_a_best_checkpoint_each(tmp_path):
    hook = WholeCheckpointHook(by_epoch=False, save_best=['a/distance', 'b/accuracy'])
    hook.set_best_path('a/distance', 'x.pth')
    assert hook.best_paths() == {'a/distance': 'x.pth', 'b/accuracy': None}
    assert WholeCheckpointHook(by_epoch=False).best_paths() == {}
    assert WholeCheckpointHook(by_epoch=False, save_best='auto').best_paths() == {}


def test_metric_that_does_not_tell_what_is_better_saves_no_best_checkpoint(tmp_path):
    scored(tmp_path, [1.0], 'value')
    log = next(tmp_path.rglob('*.log')).read_text()
    assert (
        "as scripted/value does not tell whether more or less is better: set default_hooks.checkpoint.save_best='scr"
        in log
    )
    assert not list(tmp_path.glob('best_*'))


def test_metric_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"save_best='frechet/distance' is no metric.*has scripted/distance"):
        scored(tmp_path, [1.0], save_best='frechet/distance')
    assert (tmp_path / 'iter_1.pth').exists()
