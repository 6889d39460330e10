"""Training of the digits in separate processes, for tests that interrupt it."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from mmcm.checkpoints.weights import read_checkpoint
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
TINY = [
    'model.denoiser.backbone.channel_mult=(1,)',
    'model.denoiser.backbone.attention_resolutions=()',
    'model.denoiser.backbone.dropout=0.1',
    'train_dataloader.batch_size=16',
    'val_dataloader.dataset.num_samples=8',
    'default_hooks.logger.interval=2',
    'default_hooks.sample_grid.rows=2',
    'default_hooks.sample_grid.columns=2',
    'visualizer.vis_backends=[]',
]


def command(work_dir, iterations, *options):
    """Return the command of a training, `options` being settings of the config."""
    return [
        sys.executable,
        str(ROOT / 'tools' / 'train.py'),
        'configs/digits/edm_1xb32_digits-8x8.py',
        '--work-dir',
        str(work_dir),
        '--cfg-options',
        *TINY,
        f'train_cfg.max_iters={iterations}',
        *options,
    ]


def start(arguments):
    """Start a process with a group of its own, which SIGINT reaches also where the tests run in the background."""
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(process, condition):
    """Wait until `condition()` holds; return whether it did before the process ended."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, 'nothing happened'
        time.sleep(0.01)
    return True


def runs(number):
    """Return whether the process of this number runs; one that has ended may stay until it is asked for its code."""
    try:
        return Path(f'/proc/{number}/stat').read_text().rpartition(') ')[2][0] != 'Z'
    except FileNotFoundError:
        return False


def handles_signals(process):
    """Return whether a process has handlers of its own: before, in Python's own start, there is nothing to test."""
    status = Path(f'/proc/{process.pid}/status').read_text()
    return bool(int(re.search(r'SigCgt:\s*(\w+)', status)[1], 16) >> (signal.SIGTERM - 1) & 1)


def iteration_of(work_dir):
    """Return the last iteration that the newest log of a training names, 0 if there is none."""
    logs = sorted(Path(work_dir).glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns)
    found = re.findall(r'Iter\(train\) \[ *(\d+)/', logs[-1].read_text()) if logs else []
    return int(found[-1]) if found else 0


def end(process):
    """Wait for the end of a process; return its exit code, stdout and stderr."""
    out, error = process.communicate(timeout=PATIENCE)
    return process.returncode, out, error


def command_to_go_on(error):
    """Return the command that the last line of `error` names, with this Python."""
    last = error.strip().splitlines()[-1]
    return [sys.executable, *shlex.split(re.search('to (?:go on|begin again): python (.*)', last)[1])]


def assert_same_end(ours, theirs):
    """Fail unless two checkpoints hold the same, bit for bit: weights, averages, optimiser, schedules, log, place."""
    ours, theirs = read_checkpoint(ours), read_checkpoint(theirs)
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(ours[part], theirs[part], part)
    # Times differ, and a validation that was interrupted is not made up for.
    logs = [
        {
            name: log
            for name, log in checkpoint['message_hub']['log_scalars'].items()
            if name.startswith('train/') and not name.endswith('time')
        }
        for checkpoint in (ours, theirs)
    ]
    assert_equal(*logs, 'log')
    assert ours['meta']['iter'] == theirs['meta']['iter']


def assert_equal(ours, theirs, place):
    """Fail, naming the `place`, unless two nests of values and tensors are equal."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), place
        for key in ours:
            assert_equal(ours[key], theirs[key], f'{place}.{key}')
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), place
        for index, pair in enumerate(zip(ours, theirs)):
            assert_equal(*pair, f'{place}.{index}')
    elif isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), place
    else:
        assert ours == theirs, place


def interrupt_at_random(process, work_dir, first, last, number, chance: random.Random):
    """Send a signal at a random moment of a training, to the process or to its group; return where it was then.

    A quarter of the moments are between the start and the first iterations; the others are after a random one between
    `first` and `last`, to be found in the log. None is returned where the training has ended before.
    """
    wait_for(process, lambda: handles_signals(process))
    if chance.random() < 0.25:
        delay = chance.uniform(0, 6)
        goal = None
    else:
        goal, delay = chance.randint(first, last), chance.uniform(0, 0.3)
    if goal is not None:
        wait_for(process, lambda: iteration_of(work_dir) >= goal)
    time.sleep(delay)
    if process.poll() is not None:
        return None
    place = iteration_of(work_dir)
    if chance.random() < 0.5:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return place
