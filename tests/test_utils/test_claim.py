import subprocess
import sys

import pytest

from mmcm.utils.claim import claimed
from mmcm.utils.errors import InputError

HOLD = """
import sys
from pathlib import Path

from mmcm.utils.claim import claimed

with claimed(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that has claimed the folder."""
    with subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == 'held\n'
        yield process


def test_folder_is_claimed_by_one_process(other, tmp_path):
    with pytest.raises(InputError, match=rf'another run writes into .* \(process {other.pid} on .*--launcher none'):
        with claimed(tmp_path):
            pass


def test_claim_ends_with_the_process_or_the_block(other, tmp_path):
    other.kill()
    other.wait()
    for _ in range(2):
        with claimed(tmp_path):
            pass


def test_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def held(*_):
        raise OSError(38, 'Function not implemented')
    monkeypatch.setattr('mmcm.utils.claim.held', held)
    with claimed(tmp_path):
        pass
