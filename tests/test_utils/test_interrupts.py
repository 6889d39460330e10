import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmcm.utils import interrupts
from mmcm.utils.interrupts import Interrupted, advising, interruptible
from support.interrupted_training import PATIENCE, end, runs, start, wait_for


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0)  # Python runs handlers between two instructions


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_raises_an_exception_with_its_exit_code(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as raised, interruptible():
        send(number)
        time.sleep(PATIENCE)
    assert raised.value.exit_code == code and raised.value.number.name in str(raised.value)
    assert signal.getsignal(number) == before


def test_signal_is_only_noted_while_it_is_held():
    with interruptible():
        interrupts.hold()
        send(signal.SIGTERM)
        assert interrupts.received() == signal.SIGTERM
        with pytest.raises(Interrupted):
            interrupts.release()


def test_nothing_is_received_before_a_signal_and_in_the_next_block():
    with pytest.raises(Interrupted), interruptible():
        send(signal.SIGTERM)
    with interruptible():
        assert interrupts.received() is None
        interrupts.hold()
        interrupts.release()


def test_signals_that_the_parent_ignores_stay_ignored(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            send(signal.SIGINT)
            assert interrupts.received() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_advice_says_what_is_kept():
    with pytest.raises(Interrupted, match=r'stopped by Ctrl-C \(SIGINT\). All is kept.'), advising('All is kept.'):
        raise KeyboardInterrupt
    with pytest.raises(Interrupted) as raised, advising('All is kept.'):
        raise Interrupted(signal.SIGTERM)
    assert raised.value.exit_code == 143


REPEATED = """
import os, signal, sys, time
from mmcm.utils import interrupts
with interrupts.interruptible():
    interrupts.hold('noted')
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # as `timeout` does
    print('goes on', flush=True)
    while True:
        time.sleep(0.01)
"""


def test_second_signal_ends_the_process_at_once():
    process = start([sys.executable, '-c', REPEATED])
    assert process.stdout.readline() == 'goes on\n'
    while process.poll() is None:  # one that comes too soon counts for the first one
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert end(process) == (130, '', 'Ctrl-C (SIGINT): noted\n')


CHILD = """
import multiprocessing, os, sys, time
from mmcm.utils.interrupts import interruptible
def work(started):
    started.set()
    time.sleep(600)
if __name__ == '__main__':
    with interruptible():
        context = multiprocessing.get_context('fork')
        started = context.Event()
        child = context.Process(target=work, args=(started, ), daemon=True)
        child.start()
        started.wait()
        print(child.pid, flush=True)
        input()
        assert child.is_alive()
        child.terminate()
        child.join()
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_forked_processes_outlive_a_signal_to_their_group(number):
    process = subprocess.Popen(
        [sys.executable, '-c', CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    os.kill(child, number)
    assert process.communicate('\n', timeout=PATIENCE) == ('', '') and process.returncode == 0


SHARED = """
import multiprocessing, os, signal, sys, threading, time
from mmcm.utils.interrupts import interruptible
def work():
    thread = threading.Thread(target=lambda: sys.excepthook(ConnectionResetError, ConnectionResetError(), None))
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError('a fault'), None)
if __name__ == '__main__':
    with interruptible():
        child = multiprocessing.get_context('fork').Process(target=work)
        child.start()
        child.join()
"""


def test_forked_process_says_nothing_where_its_parent_has_ended_but_shows_faults():
    """As torch's workers do, whose thread hands memory to the parent."""
    assert end(start([sys.executable, '-c', SHARED])) == (0, '', 'ValueError: a fault\n')


SPAWNED = """
import multiprocessing, os, time
from mmcm.utils.interrupts import end_with_parent
def work(started):
    end_with_parent()
    started.set()
    time.sleep(600)
if __name__ == '__main__':
    context = multiprocessing.get_context('spawn')
    started = context.Event()
    child = context.Process(target=work, args=(started, ))
    child.start()
    started.wait()
    print(child.pid, flush=True)
    os._exit(1)
"""


def test_spawned_process_ends_with_its_parent(tmp_path):
    (tmp_path / 'spawned.py').write_text(SPAWNED)
    process = start([sys.executable, str(tmp_path / 'spawned.py')])
    child = int(process.stdout.readline())
    deadline = time.monotonic() + PATIENCE
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    end(process)


def test_signal_during_imports_ends_quietly():
    process = start([sys.executable, 'tools/train.py', 'edm_1xb32_digits-8x8'])
    assert wait_for(process, lambda: 'libtorch' in Path(f'/proc/{process.pid}/maps').read_text())
    process.send_signal(signal.SIGINT)
    code, _, error = end(process)
    assert code == 130 and len(error.splitlines()) == 1 and error.startswith('stopped by Ctrl-C'), error
