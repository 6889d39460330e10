import importlib
import os
import signal
import sys
import threading

import pytest

from support.file_server import Server

# Shells have background jobs ignore SIGINT, and so would all processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ['CUDA_VISIBLE_DEVICES'] = ''  # the same tests, with the same numbers, whatever the machine has


@pytest.fixture(scope='session', autouse=True)
def cache(tmp_path_factory):
    """What tests download or compute for later goes to a folder of theirs, also in the processes that they start."""
    os.environ['MMCM_HOME'] = str(tmp_path_factory.mktemp('mmcm_home'))


@pytest.fixture(autouse=True)
def released():
    """Release the lock that MMEngine keeps where what it builds fails; threads of later tests would wait for ever."""
    yield
    manager = sys.modules.get('mmengine.utils.manager')
    while manager is not None and manager._lock._is_owned():
        manager._lock.release()


@pytest.fixture
def server(no_waiting):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def no_waiting(monkeypatch):
    # by its full name, since `mmcm.checkpoints.download` is the function
    monkeypatch.setattr(importlib.import_module('mmcm.checkpoints.download'), 'RETRY_DELAYS', (0.0, 0.0, 0.0))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
