import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS

from mmcm.cli.train import train
from mmcm.utils.errors import InputError
from mmcm.utils.interrupts import Interrupted, interruptible
from support.interrupted_training import (
    ROOT,
    assert_same_end,
    command,
    command_to_go_on,
    end,
    iteration_of,
    start,
    wait_for,
)
from support.patience import PATIENCE
from support.runs import config

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')
ITERATIONS = 6


@HOOKS.register_module(force=True)
class SendSignal(Hook):
    """Send a signal to this process at a stage of the training, when so many iterations are done."""

    def __init__(self, stage, done, number):
        self.stage, self.done, self.number = stage, done, number

    def __getattribute__(self, name):
        if name in Hook.stages:
            return lambda runner, *args, **kwargs: self.reached(runner, name)
        return super().__getattribute__(name)

    def reached(self, runner, stage):
        if stage == self.stage and (runner.iter == self.done or stage.startswith('before_run')):
            os.kill(os.getpid(), self.number)


@METRICS.register_module(force=True)
class NoMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(images=sum(results))


def run_config(work_dir, **changes):
    """Return the config of a short training that is validated half way."""
    requests = dict(type='SamplingRequests', num_samples=4, num_classes=10, labels='balanced')
    cfg = config(
        work_dir,
        ITERATIONS,
        resume=False,
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='NoMetric'),
        val_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=requests,
            collate_fn=dict(type='pseudo_collate'),
        ),
        **changes,
    )
    cfg.train_cfg.val_interval = 3
    cfg.default_hooks.update(
        checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=ITERATIONS),
        logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
        resume_data=dict(type='ResumeDataHook'),
    )
    cfg.train_dataloader.sampler.type = 'ResumableSampler'
    cfg.optim_wrapper.optimizer = dict(type='RAdam', lr=1e-3)
    cfg.param_scheduler = dict(type='PolyLR', by_epoch=False, power=1.0)
    return cfg


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('undisturbed')
    train(run_config(work_dir))
    return work_dir / f'iter_{ITERATIONS}.pth'


@pytest.mark.parametrize(
    'stage, done, priority, saved',
    [
        ('before_run', 0, 'NORMAL', None),
        ('before_train', 0, 'NORMAL', None),
        ('before_train_iter', 0, 'HIGHEST', None),  # while it waits for the first data
        ('before_train_iter', 2, 'NORMAL', 3),
        ('before_train_iter', 3, 'HIGHEST', 3),
        ('after_train_iter', 2, 'VERY_HIGH', 3),
        ('after_train_iter', 2, 'LOWEST', 3),  # while it draws grids of samples
        ('before_val_iter', 3, 'NORMAL', 3),
        ('after_val_epoch', 3, 'NORMAL', 3),
        ('before_save_checkpoint', 5, 'NORMAL', 6),
        ('after_train', 6, 'NORMAL', 6),
    ],
)
def test_training_stops_at_the_end_of_a_step_and_resumes_exactly(tmp_path, undisturbed, stage, done, priority, saved):
    hook = dict(type='SendSignal', stage=stage, done=done, number=int(signal.SIGTERM), priority=priority)
    with pytest.raises(Interrupted) as raised, interruptible():
        train(run_config(tmp_path, custom_hooks=[hook]), 'python train.py')
    assert raised.value.exit_code == 143
    names = [] if saved is None else [f'iter_{saved}.pth']
    assert [path.name for path in tmp_path.glob('*iter*')] == names and not list(tmp_path.glob('.*'))
    if saved is None:
        assert raised.value.advice == 'No iteration is saved; to begin again: python train.py'
    elif saved < ITERATIONS:
        assert raised.value.advice.endswith(f'{names[0]} is the last checkpoint; to go on: python train.py --resume')
    cfg = run_config(tmp_path)
    cfg.resume = saved is not None
    train(cfg)
    assert_same_end(tmp_path / f'iter_{ITERATIONS}.pth', undisturbed)


def test_gradients_that_are_accumulated_are_not_lost(tmp_path):
    cfg = run_config(
        tmp_path,
        custom_hooks=[
            dict(type='SendSignal', stage='after_train_iter', done=0, number=int(signal.SIGINT), priority='LOWEST')
        ],
    )
    cfg.optim_wrapper.accumulative_counts = 3
    cfg.pop('param_scheduler')  # MMEngine warns of those that step more often than the optimiser
    with pytest.raises(Interrupted), interruptible():
        train(cfg)
    assert (tmp_path / 'iter_3.pth').exists()


def test_run_without_checkpoints_says_so(tmp_path):
    cfg = run_config(
        tmp_path, custom_hooks=[dict(type='SendSignal', stage='after_train_iter', done=2, number=int(signal.SIGINT))]
    )
    cfg.default_hooks.checkpoint = None
    with pytest.raises(Interrupted, match='No iteration is saved'), interruptible():
        train(cfg)


@HOOKS.register_module(force=True)
class RemoveFolder(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 2:
            shutil.rmtree(runner.work_dir)


def test_removed_work_directory_is_named_and_the_training_is_saved(tmp_path, undisturbed):
    cfg = run_config(tmp_path / 'run', custom_hooks=[dict(type='RemoveFolder', priority='VERY_LOW')])
    with pytest.raises(InputError, match='run was removed, .*iter_3.pth is the last checkpoint; to go on: again'):
        train(cfg, 'again')
    cfg = run_config(tmp_path / 'run')
    cfg.resume = True
    train(cfg)
    assert_same_end(tmp_path / 'run' / f'iter_{ITERATIONS}.pth', undisturbed)


REAL = 60
REAL_OPTIONS = [
    'default_hooks.sample_grid.interval=20',
    'default_hooks.trajectory.interval=20',
    'default_hooks.checkpoint.interval=25',
]


@pytest.fixture(scope='module')
def real_undisturbed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('undisturbed')
    code, _, error = end(start(command(work_dir, REAL, *REAL_OPTIONS)))
    assert code == 0, error
    return work_dir / f'iter_{REAL}.pth'


@pytest.mark.parametrize(
    'number, to_all, code, workers', [(signal.SIGINT, False, 130, 0), (signal.SIGTERM, True, 143, 2)]
)
def test_command_that_is_printed_goes_on(tmp_path, real_undisturbed, number, to_all, code, workers):
    """Also where a scheduler signals the processes that read images."""
    process = start(command(tmp_path, REAL, *REAL_OPTIONS, f'train_dataloader.num_workers={workers}'))
    assert wait_for(process, lambda: iteration_of(tmp_path) >= 10)
    os.killpg(process.pid, number) if to_all else process.send_signal(number)
    ended, _, error = end(process)
    assert ended == code and 'Traceback' not in error, error
    assert len(error.splitlines()) in (1, 2), error  # within a step it says at once that it was heard
    (saved,) = tmp_path.glob('iter_*.pth')
    assert str(saved) in error
    code, _, error = end(start(command_to_go_on(error)))
    assert code == 0, error
    assert_same_end(tmp_path / f'iter_{REAL}.pth', real_undisturbed)


def children_of(process):
    """Return the numbers of the processes that a process has started."""
    return [int(text) for text in Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()]


def test_killed_process_that_reads_images_is_named(tmp_path):
    process = start(command(tmp_path, 10000, 'train_dataloader.num_workers=2', 'default_hooks.checkpoint.interval=4'))
    assert wait_for(process, lambda: (tmp_path / 'last_checkpoint').exists())
    worker = children_of(process)[-1]
    os.kill(worker, signal.SIGKILL)
    code, _, error = end(process)
    last = error.splitlines()[-1]
    assert code == 2 and 'Traceback' not in error, error
    named = f'error: process {worker}, which reads images, has ended: is killed by signal: Killed.'
    assert last.startswith((named, 'error: a process that reads images has ended while it passed some on.'))
    assert (tmp_path / 'last_checkpoint').read_text() in last and last.endswith(' --resume')


def test_full_disk_is_named(tmp_path):
    arguments = command(tmp_path, 100, 'default_hooks.checkpoint.interval=4')
    result = subprocess.run(
        arguments,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, 2**17)),
    )
    assert result.returncode == 2 and 'Traceback' not in result.stderr, result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f'error: {tmp_path / "iter_4.pth"} cannot be written: File too large. Free some space. No ')
    assert not list(tmp_path.glob('*.pth')) and not list(tmp_path.glob('.*'))


def launch(work_dir, *options):
    arguments = command(work_dir, 400, *options)[1:]
    return start(
        [
            sys.executable,
            'tools/launch.py',
            '--standalone',
            '--nproc_per_node=2',
            *arguments[:2],
            '--launcher',
            'pytorch',
            *arguments[2:],
        ]
    )


def test_processes_stop_after_the_same_step(tmp_path):
    """Also where only one of them is told to."""
    process = launch(tmp_path)
    assert wait_for(process, lambda: iteration_of(tmp_path) >= 4)
    os.kill(max(children_of(process)), signal.SIGTERM)
    code, _, error = end(process)
    assert code == 143 and 'Traceback' not in error, error
    (saved,) = tmp_path.glob('iter_*.pth')
    assert error.count('is the last checkpoint') == 1 and f'{saved} is the last checkpoint' in error
    assert 'launch.py --standalone' in error


@pytest.mark.slow
def test_killed_process_of_several_is_named(tmp_path):
    process = launch(tmp_path, 'default_hooks.checkpoint.interval=4')
    assert wait_for(process, lambda: (tmp_path / 'last_checkpoint').exists())
    os.kill(max(children_of(process)), signal.SIGKILL)
    code, _, error = end(process)
    assert code == 137 and 'Traceback' not in error, error
    assert 'process 1 was killed by SIGKILL; a training goes on' in error
    assert str(tmp_path / 'iter_') in error and '--resume' in error
