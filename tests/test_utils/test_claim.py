import subprocess
import sys
from contextlib import ExitStack, nullcontext

import pytest

from mmcm.utils.claim import NAME, claimed, hold
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
            assert [path.name for path in tmp_path.iterdir()] == [NAME]
        assert not list(tmp_path.iterdir())


def test_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def held(*_):
        raise OSError(38, 'Function not implemented')
    monkeypatch.setattr('mmcm.utils.claim.held', held)
    with claimed(tmp_path):
        pass


def test_file_that_was_removed_meanwhile_is_not_held(tmp_path, monkeypatch):
    def held(file, path):
        path.unlink()  # as who held it does before this process gets it
        return nullcontext()
    with ExitStack() as stack, monkeypatch.context() as patched:
        patched.setattr('mmcm.utils.claim.held', held)
        assert not hold(tmp_path / NAME, stack)
    with ExitStack() as stack:
        assert hold(tmp_path / NAME, stack)
