import os
import subprocess
import sys

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
        [sys.executable, '-c', SCRIPT], capture_output=True, text=True,
        env={**os.environ, 'RANK': '0', 'WORLD_SIZE': '1', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '0'})
    assert process.stdout.split() == ['connected', 'left'] and process.returncode == 0, process.stderr
