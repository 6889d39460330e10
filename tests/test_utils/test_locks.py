import os
import re
import signal
import subprocess
import sys

import pytest

from mmcm.utils import locks
from mmcm.utils.errors import InputError
from mmcm.utils.locks import locked

HOLDER = (
    'import sys, time\nfrom pathlib import Path\nfrom mmcm.utils.locks import locked\n'
    'with locked(Path(sys.argv[1]), "being written"):\n    print("held", flush=True)\n    time.sleep(600)'
)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path/x."""
    command = [sys.executable, '-c', HOLDER, str(tmp_path / 'x')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def test_second_process_is_told_who_has_it_and_a_killed_one_lets_go(tmp_path, holder):
    with pytest.raises(InputError) as error, locked(tmp_path / 'x', 'being written'):
        pytest.fail('both have it')
    told = rf'x is being written by process {holder.pid} on \S+, since \d{{4}}-.*: wait for'
    assert re.search(told, str(error.value))
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / '.x.lock').exists()
    with locked(tmp_path / 'x', 'being written'):
        assert f'process {os.getpid()} on' in (tmp_path / '.x.lock').read_text()
    assert list(tmp_path.iterdir()) == []


def test_second_task_of_a_process_is_refused(tmp_path):
    with locked(tmp_path / 'x', 'being written'):
        with pytest.raises(InputError, match='by another task of this'), locked(tmp_path / 'x', 'being written'):
            pytest.fail('both have it')
        with locked(tmp_path / 'y', 'being written'):
            pass
    with locked(tmp_path / 'x', 'being written'):
        pass


def test_lock_file_that_was_removed_since_it_was_opened_is_not_taken(tmp_path, monkeypatch):
    held, removed = locks.system.held, []

    def late(file, path):
        if not removed:
            removed.append(path)
            path.unlink()  # as the process that had it does in the end
        return held(file, path)

    monkeypatch.setattr(locks.system, 'held', late)
    with locked(tmp_path / 'x', 'being written'):
        assert removed and (tmp_path / '.x.lock').exists()


def test_file_system_without_locks_has_none(tmp_path, monkeypatch):
    def unknown(file, path):
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr(locks.system, 'held', unknown)
    with locked(tmp_path / 'x', 'being written'):
        pass


def test_owner_cannot_steer_the_terminal(tmp_path, holder):
    (tmp_path / '.x.lock').write_text('process \x1b]0;title\x07 1')
    with pytest.raises(InputError, match=r'by process \]0;title 1: wait'), locked(tmp_path / 'x', 'being written'):
        pytest.fail('both have it')
