"""Whatever others put into a file, a parser reads it or raises an InputError; see `worker.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name('worker.py')


def fuzz(count, share='0/1'):
    root = str(WORKER.parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get('PYTHONPATH')])])
    process = subprocess.run(
        [sys.executable, str(WORKER), '--count', str(count), '--share', share],
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.skipif(sys.platform != 'linux', reason='needs fork and RLIMIT_AS')
def test_parsers_read_or_refuse_200_inputs_each():
    assert '0 failures' in fuzz(200)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='needs fork and RLIMIT_AS')
@pytest.mark.parametrize('share', ['0/2', '1/2'])
def test_parsers_read_or_refuse_10_000_inputs_each(share):
    assert '0 failures' in fuzz(10_000, share)
