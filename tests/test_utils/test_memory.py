import os
import subprocess
import sys

import pytest

from mmcm.utils import memory, system

resource = pytest.importorskip('resource')

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems do not say it in /proc')


def test_peak_of_a_process_is_above_what_it_has_now():
    assert 10**6 < memory.memory_of(os.getpid()) <= 1.05 * system.peak_memory()
    assert system.peak_memory() <= 1.05 * 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_peak_is_not_that_of_the_process_that_started_this_one():
    large = bytearray(3 * 10**8)
    code = 'from mmcm.utils.system import peak_memory; print(peak_memory())'
    peak = int(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout)
    assert peak < len(large) < system.peak_memory()


def test_process_that_has_ended_has_no_memory():
    assert memory.memory_of(2**22 + 1) is None


def test_limit_of_a_container_is_less_than_the_free_memory(tmp_path, monkeypatch):
    whole = memory.free_memory()
    (tmp_path / 'memory.max').write_text('1000\n')
    (tmp_path / 'memory.current').write_text('400\n')
    monkeypatch.setattr(memory, 'CGROUP', tmp_path)
    assert memory.free_memory() == 600 < whole
    (tmp_path / 'memory.stat').write_text('anon 300\ninactive_file 70\nactive_file 30\n')
    assert memory.free_memory() == 670  # files that were read once are given up
    (tmp_path / 'memory.max').write_text('max\n')
    assert memory.free_memory() > 600
