"""Small files that ask for gigabytes are refused, or read, in bounded memory; see `bombs.py`, which prints a table."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).with_name('bombs.py')
SPEC = importlib.util.spec_from_file_location('bombs', PATH)
bombs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bombs)
PEAK = 500_000_000  # bytes of a process with torch, whose imports alone have 330 MB,
OWN = 170_000_000  # and with CUDA's libraries more than PEAK
QUICK = (
    'zip, dataset.json',
    'npz, array that is not there',
    'PNG, chunk of 2 GB',
    'PNG to edit, 67 million pixels',
    'pt, tuples 100 000 deep',
    'pt, a key of 2^60 values',
    'pt, storage larger than its record',
    'pt, strides of wrong types',
    'pt, older format, storage of 3 GB',
    'CIFAR, table of 64 GB',
    'JSON, 100 000 deep',
)


def check(name, folder, monkeypatch):
    root = str(PATH.parents[2])
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([root, *filter(None, [os.environ.get('PYTHONPATH')])]))
    found = bombs.measure(name, folder)
    answer = found['answer']
    assert answer.startswith('InputError: ') or (answer == 'read' and name == 'PNG to edit, 17 million pixels'), answer
    assert '\n' not in answer
    assert found['peak'] < max(PEAK, found['imports'] + OWN), found


@pytest.mark.skipif(sys.platform != 'linux', reason='the memory of a process is read from /proc')
@pytest.mark.parametrize('name', QUICK)
def test_bomb_is_refused_in_bounded_memory(name, tmp_path, monkeypatch):
    check(name, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='the memory of a process is read from /proc')
@pytest.mark.parametrize('name', sorted(set(bombs.BOMBS) - set(QUICK)))
def test_larger_bomb_is_refused_in_bounded_memory(name, tmp_path, monkeypatch):
    check(name, tmp_path, monkeypatch)
