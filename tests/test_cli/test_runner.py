import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmcm.cli import runner
from support import runs
from support.patience import PATIENCE

SCRIPT = """
import atexit
from argparse import Namespace

import torch
from mmengine.config import Config

from mmcm.cli.runner import prepare

atexit.register(lambda: print('connected' if torch.distributed.is_initialized() else 'left'))  # the last one called
prepare(Config(dict()), Namespace(launcher='pytorch', local_rank=0))
print('connected' if torch.distributed.is_initialized() else 'left')
"""

TRAINING = """
import atexit
import os
import sys
from argparse import Namespace
from pathlib import Path

from mmengine.runner import Runner

from mmcm.cli.runner import prepare
from support import runs
from support.patience import PATIENCE


def print_threads():
    names = (Path(f'/proc/self/task/{thread}/comm').read_text() for thread in os.listdir('/proc/self/task'))
    print('with gloo' if 'gloo' in ' '.join(names) else 'without gloo')


atexit.register(print_threads)  # the last one called
config = runs.config(Path(sys.argv[1]), iterations=1)
config.launcher = 'pytorch'
prepare(config, Namespace(launcher='pytorch', local_rank=0))
Runner.from_cfg(config).train()
print_threads()
"""


def run_connected(script, *arguments):
    return subprocess.run(
        [sys.executable, '-c', script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={
            **os.environ,
            'RANK': '0',
            'WORLD_SIZE': '1',
            'MASTER_ADDR': '127.0.0.1',
            'MASTER_PORT': '0',
            'PYTHONPATH': os.pathsep.join(sys.path),
        },
    )


def test_process_leaves_the_others_before_it_ends():
    process = run_connected(SCRIPT)
    assert process.stdout.split() == ['connected', 'left'] and process.returncode == 0, process.stderr


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='names of threads are those of Linux')
def test_no_thread_of_gloo_outlives_a_training(tmp_path):
    process = run_connected(TRAINING, tmp_path)
    assert process.stdout.splitlines()[-2:] == ['with gloo', 'without gloo'], process.stdout + process.stderr


def test_run_of_one_name_waits_for_the_next_second(tmp_path, monkeypatch):
    config, slept, seconds = runs.config(tmp_path / 'run'), [], iter(('now', 'now', 'later'))
    monkeypatch.setattr(runner, 'time', SimpleNamespace(strftime=lambda form: next(seconds), sleep=slept.append))
    monkeypatch.setitem(runner._begun, config.experiment_name, 'now')
    built = runner.build_runner(config)
    assert len(slept) == 2 and runner._begun[config.experiment_name] == built.timestamp


def test_runs_of_one_name_begun_at_once_have_files_of_their_own(tmp_path):
    runners = []
    for folder in ('a', 'b'):
        config = runs.config(tmp_path / folder)
        config.experiment_name = tmp_path.name
        runners.append(runner.build_runner(config))
    files = [Path(each.logger.log_file) for each in runners]
    assert [file.parent.parent for file in files] == [tmp_path / 'a', tmp_path / 'b']
    assert all((file.parent / 'vis_data' / 'config.py').is_file() for file in files)
    assert 'work_dir' in files[1].read_text()


def test_timeout_of_the_config_is_that_of_gloo(monkeypatch):
    asked = []
    monkeypatch.setenv('MASTER_ADDR', '127.0.0.1')
    monkeypatch.setattr('torch.distributed.init_process_group', lambda backend, timeout: asked.append(timeout))
    monkeypatch.setattr('atexit.register', lambda function: None)
    for cfg in (dict(env_cfg=dict(dist_cfg=dict(timeout=90))), {}):
        runner.use_cpus(Config(cfg), 'pytorch')
    assert asked == [timedelta(seconds=90), None]
