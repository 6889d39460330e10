import signal
import subprocess
import sys

import pytest

from support.patience import PATIENCE

CODE = """
import sys, threading, time
from pathlib import Path
from mmcm.web import ending
ending.SECONDS = float(sys.argv[1])
end = ending.Ending()
end.folder = sys.argv[2]
if sys.argv[3] == 'computes':
    threading.Thread(target=time.sleep, args=[3600]).start()
    end.stop = lambda: print('stops', flush=True)
with end.on_signals():
    print('ready', flush=True)
    time.sleep(3600) if sys.argv[3] == 'starts' else [time.sleep(1) for _ in range(3600)]
print('ended', flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """How to start a process with an `Ending`: in how many seconds it ends, and what it does meanwhile."""
    processes = []

    def run(seconds, does):
        (tmp_path / 'folder' / 'deep').mkdir(parents=True)
        processes.append(
            subprocess.Popen(
                [sys.executable, '-c', CODE, str(seconds), str(tmp_path / 'folder'), does],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        assert processes[-1].stdout.readline() == 'ready\n'
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_server_starts_ends_it_as_if_it_was_done(start, number):
    process = start(3600, 'starts')
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE)[0] == 'ended\n' and process.returncode == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_process_ends_with_its_folder_though_a_thread_computes(start, tmp_path, number):
    process = start(0.1, 'computes')
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE)[0] == 'stops\n' and process.returncode == 0
    assert not (tmp_path / 'folder').exists()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_it_at_once(start, tmp_path, number):
    process = start(3600, 'computes')
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == 'stops\n'
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE)[0] == '' and process.returncode == 128 + number
    assert not (tmp_path / 'folder').exists()
