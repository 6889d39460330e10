import math
import subprocess
import sys

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.datasets import DigitsDataset
from mmcm.engine import NonFiniteGuardHook
from mmcm.engine.hooks.non_finite_guard_hook import first_bad
from mmcm.utils.errors import InputError
from support.patience import PATIENCE
from support.runs import config


class Poison(Hook):
    """Make the weights NaN before or after an iteration, counted from 0."""

    def __init__(self, before=None, after=None):
        self.before, self.after = before, after

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.before:
            self.poison(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.after:
            self.poison(runner)

    @staticmethod
    def poison(runner):
        torch.nn.init.constant_(runner.model.denoiser.backbone.out[2].bias, math.nan)


def poisoned_run(cfg, interval=100, **when):
    """Run `cfg` until the guard stops it; return the message."""
    cfg.default_hooks.guard = dict(type='NonFiniteGuardHook', interval=interval)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Poison(**when))
    with pytest.raises(InputError) as raised:
        runner.train()
    return str(raised.value)


def test_first_bad_iteration_is_named_and_no_checkpoint_is_written_after_it(tmp_path):
    cfg = config(tmp_path, iterations=12)
    cfg.default_hooks.checkpoint.interval = 4
    message = poisoned_run(cfg, before=5)  # read before iteration 8 is saved
    assert message.startswith(
        'the loss of iteration 6 (training step 5, counted from 0) is not finite: process 0: loss nan'
    )
    assert 'num_scales' not in message
    assert 'randomness.seed=0' in message and str(tmp_path / 'iter_4.pth') in message and '\n' not in message
    assert 'places 40 to 47' in message
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_4.pth']


def test_images_of_the_bad_batch_are_named(tmp_path):
    order = iter(InfiniteSampler(DigitsDataset(), seed=0))
    indices = [next(order) for _ in range(24)]
    message = poisoned_run(config(tmp_path), before=2)
    assert 'on the images ' + ', '.join(map(str, indices[16:])) in message


class PoisonGradient(Hook):
    """Make a gradient NaN in an iteration, counted from 0; its loss is finite."""

    def __init__(self, at):
        self.at = at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        bias = runner.model.denoiser.backbone.out[2].bias
        handle = bias.register_hook(lambda grad: grad * (math.nan if runner.iter == self.at else 1))
        self.handles = [*getattr(self, 'handles', []), handle]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.handles.pop().remove()


@pytest.mark.parametrize('interval', [1, 3, 100])
def test_iteration_and_images_of_a_bad_gradient_are_named(tmp_path, interval):
    """Not those of the iteration after, whose loss is the first one that is not finite."""
    order = iter(InfiniteSampler(DigitsDataset(), seed=0))
    indices = [next(order) for _ in range(24)]
    cfg = config(tmp_path, iterations=12)
    cfg.default_hooks.guard = dict(type='NonFiniteGuardHook', interval=interval)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(PoisonGradient(2))
    with pytest.raises(InputError, match=r'^the weights are not finite after iteration 3 \(training step 2,') as raised:
        runner.train()
    assert 'on the images ' + ', '.join(map(str, indices[16:])) in str(raised.value)
    assert 'though the loss was: its gradient is not: process 0: norm of the weights nan' in str(raised.value)


def test_gradient_that_the_optimiser_skips_is_fine(tmp_path):
    """As loss scaling does in mixed precision."""
    cfg = config(tmp_path, iterations=2)
    cfg.default_hooks.guard = dict(type='NonFiniteGuardHook', interval=1)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(PoisonGradient(0))
    runner.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    original = runner.build_optim_wrapper

    def skipping(wrapper):
        built = original(wrapper)
        step = built.optimizer.step
        built.optimizer.step = lambda *args, **kwargs: None if runner.iter == 0 else step(*args, **kwargs)
        return built

    runner.build_optim_wrapper = skipping
    runner.train()
    assert runner.iter == 2


def test_guard_looks_every_few_iterations(tmp_path):
    cfg = config(tmp_path, iterations=100)
    poisoned_run(cfg, interval=3, before=1)
    log = next(tmp_path.rglob('*.log')).read_text()
    assert '[  2/100]' in log and '[  4/100]' not in log


def test_step_of_the_optimiser_is_named_where_gradients_accumulate(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper.accumulative_counts = 2
    assert 'iteration 3 (training step 1,' in poisoned_run(cfg, before=2)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The gradients of the last step were NaN, and no loss has seen it yet."""
    message = poisoned_run(config(tmp_path), after=3)
    assert 'denoiser.backbone.out.2.bias' in message and 'after iteration 4' in message
    assert 'no checkpoint of this run' in message
    assert not list(tmp_path.glob('*.pth'))


def test_checkpoint_of_another_run_is_not_offered(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('elsewhere.pth')
    assert 'elsewhere' not in poisoned_run(config(tmp_path), before=0)


def test_only_losses_stop_the_training():
    fine, infinite = torch.tensor(1.0), torch.tensor(math.inf)
    assert first_bad([(0, dict(loss=fine, mse=infinite))]) is None
    losses = [(0, dict(loss=fine, mse=infinite)), (1, dict(loss=infinite, mse=fine)), (2, dict(loss=infinite))]
    assert first_bad(losses) == (1, dict(loss=math.inf))


def test_guard_needs_an_interval():
    with pytest.raises(InputError, match='got 0'):
        NonFiniteGuardHook(interval=0)


TWO_PROCESSES = """
import os
import sys
from types import SimpleNamespace
import torch
import torch.multiprocessing as mp
from torch.utils.data import DataLoader
from mmcm.engine import NonFiniteGuardHook
from mmcm.utils.errors import InputError

def work(rank, rendezvous):
    torch.distributed.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=2)
    runner = SimpleNamespace(
        work_dir='nowhere', iter=0, seed=7, train_loop=None, train_dataloader=DataLoader([0]),
        optim_wrapper=SimpleNamespace(_accumulative_counts=1))
    hook = NonFiniteGuardHook()
    hook.before_train(runner)
    hook.unread = [(k, dict(loss=torch.tensor(float('nan') if rank == 1 and k > 2 else 1.0))) for k in range(6)]
    try:
        hook.check(runner)
    except InputError as error:
        os.write(1, f'{error}\\n'.encode())  # in one piece, whatever the other process does

if __name__ == '__main__':
    mp.start_processes(work, (sys.argv[1], ), nprocs=2, start_method='fork')
"""


def test_all_processes_stop_where_one_has_no_finite_loss(tmp_path):
    (tmp_path / 'two.py').write_text(TWO_PROCESSES)
    result = subprocess.run(
        [sys.executable, tmp_path / 'two.py', tmp_path / 'rendezvous'], capture_output=True, text=True, timeout=PATIENCE
    )
    messages = result.stdout.splitlines()
    assert len(messages) == 2 and messages[0] == messages[1], result.stderr
    assert 'iteration 4' in messages[0] and 'process 1: loss nan' in messages[0] and 'process 0' not in messages[0]
