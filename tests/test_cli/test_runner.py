import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from mmcm.cli import runner
from support import runs

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


def test_process_leaves_the_others_before_it_ends():
    process = subprocess.run(
        [sys.executable, '-c', SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, 'RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '0'},
    )
    assert process.stdout.split() == ['connected', 'left'] and process.returncode == 0, process.stderr


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
