import json
import subprocess
import sys

import pytest

from mmcm.apis.new import measure as module
from mmcm.apis.new.measure import TooLarge, measure, read_measurement, thread_counts, wait
from mmcm.utils.errors import InputError

FOUND = dict(
    start=4.0,
    threads=1,
    steps=[[1, 0.5], [1, 0.7], [1, 9.0], [2, 3.0]],
    checkpoint=0.25,
    grids=1.0,
    first_validation=5.0,
    validation=2.0,
    memory=10**9,
)


def test_costs_are_medians_of_the_fastest_threads_and_pauses_their_sum():
    found = read_measurement(FOUND, 60.0)
    assert found.costs.step == 0.7 and found.threads == 1 and found.memory == 10**9
    assert (found.costs.start, found.costs.pause, found.costs.first_pause) == (4.0, 3.25, 3.0)


def test_training_without_validation_has_no_first_pause():
    short = {key: value for key, value in FOUND.items() if 'validation' not in key}
    assert read_measurement(short, 60.0).costs.first_pause == 0


def test_threads_are_compared_up_to_the_number_of_cores():
    counts = thread_counts()
    assert not counts or (counts[0] == 1 and counts == sorted(set(counts)))


def stand_in(monkeypatch, code):
    """Let `measure` run Python code in place of a training; its output file is the last argument."""
    popen = subprocess.Popen

    def started(command, **options):
        out = command[command.index('train') + 1].replace('probe.py', 'costs.json')
        return popen([sys.executable, '-c', code, out], **options)

    monkeypatch.setattr(module.subprocess, 'Popen', started)


def test_measured_training_is_the_config_with_the_hook(tmp_path, monkeypatch):
    stand_in(monkeypatch, f'import sys; open(sys.argv[1], "w").write({json.dumps(FOUND)!r})')
    found = measure('train_cfg = dict(max_iters=5)\n', tmp_path, 10**10, [1, 2], 3.0)
    assert found.costs.step == 0.7
    text = (tmp_path / 'probe.py').read_text()
    settings = {}
    exec(text, settings)
    assert settings['train_cfg']['max_iters'] == 10**9
    (hook,) = settings['custom_hooks']
    assert hook['type'] == 'CostProbeHook' and hook['threads'] == [1, 2] and hook['seconds'] == 3.0


@pytest.mark.parametrize('limit', [10**8, 10**9 - 1])
def test_training_above_the_limit_of_memory_is_too_large(tmp_path, monkeypatch, limit):
    stand_in(monkeypatch, f'import sys; open(sys.argv[1], "w").write({json.dumps(FOUND)!r})')
    with pytest.raises(TooLarge, match='it takes 1 GB of'):
        measure('', tmp_path, limit, [1])


def test_memory_that_is_short_in_the_training_makes_it_too_large(tmp_path, monkeypatch):
    stand_in(monkeypatch, 'raise SystemExit("RuntimeError: CUDA out of memory.")')
    with pytest.raises(TooLarge):
        measure('', tmp_path, None, [1])


def test_failure_of_the_training_is_reported_with_its_last_line(tmp_path, monkeypatch):
    stand_in(monkeypatch, 'print("first"); raise SystemExit("error: no such file")')
    with pytest.raises(InputError, match='code 1: error: no such file'):
        measure('', tmp_path, None, [1])


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_process_that_takes_too_much_memory_is_noticed():
    process = subprocess.Popen([sys.executable, '-c', 'import time; x = bytes(10**8); time.sleep(60)'])
    try:
        with pytest.raises(TooLarge, match='more than 1 MB'):
            wait(process, 10**6)
    finally:
        process.kill()
        process.wait()
