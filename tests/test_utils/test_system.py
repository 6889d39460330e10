import ast
import multiprocessing
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmcm
from mmcm.utils import system
from support.named_pipes import written_pipe
from support.patience import PATIENCE
from support.without_posix import FUNCTIONS, MODULES

ROOT = Path(__file__).parents[2]
PACKAGE = Path(mmcm.__file__).parent
HOLD = """
import sys
from pathlib import Path
from mmcm.utils import system
if sys.argv[2] == 'without':
    system.fcntl = None
path = Path(sys.argv[1])
with path.open('r+b') as file, system.held(file, path):
    print('held', flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(find_spec('mmagic') is not None, reason="MMagic's stack imports such modules itself")
def test_everything_is_imported_and_packs_and_samples_without_posix(tmp_path):
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', ROOT / 'tests/support/without_posix.py', tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert result.returncode == 0, result.stderr
    assert 'digits.npz is as it was packed: 1797 images' in result.stdout
    names = [path.name for path in tmp_path.rglob('*')]
    assert sorted(names) == [
        '00000',
        'dataset.json',
        'digits.npz',
        'images',
        'images.npz',
        *(f'img{index:08d}.png' for index in range(3)),
        'origin.json',
    ]
    assert not any(set(name) & set('<>:"|?*\\') for name in names)  # none of which Windows has in names


@pytest.mark.parametrize('path', sorted(PACKAGE.rglob('*.py')), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_one_module_calls_what_only_posix_has(path):
    if path == PACKAGE / 'utils' / 'system.py':
        return
    nodes = list(ast.walk(ast.parse(path.read_text(encoding='utf-8'))))
    imported = {alias.name for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    of_os = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == 'os'
    }
    assert not imported & {*MODULES, *FUNCTIONS} and not of_os & set(FUNCTIONS)


@pytest.mark.parametrize('positioned', [True, False])
def test_reading_and_writing_at_a_place_of_a_file(tmp_path, monkeypatch, positioned):
    if not positioned:
        for name in ('pread', 'pwrite'):
            monkeypatch.delattr(os, name, raising=False)
    with open(tmp_path / 'x', 'w+b', buffering=0) as file:
        file.write(b'0123456789')
        system.write_at(file, 3, b'abc')
        assert [system.read_at(file, *place) for place in ((0, 4), (5, 2), (9, 5))] == [b'012a', b'c6', b'9']


def test_write_that_is_cut_short_goes_on(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, 'pwrite', lambda descriptor, content, offset: pwrite(descriptor, content[:2], offset))
    with open(tmp_path / 'x', 'w+b', buffering=0) as file:
        system.write_at(file, 1, b'abcde')
    assert (tmp_path / 'x').read_bytes() == b'\0abcde'


def holder(path, kind):
    """Start a process that holds `path` until it is ended."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, path, kind], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'held\n'
    return process


@pytest.mark.parametrize('kind', ['with', 'without'])
@pytest.mark.parametrize('killed', [True, False])
def test_file_is_held_by_one_process_until_it_ends(tmp_path, monkeypatch, kind, killed):
    """With and without fcntl."""
    if kind == 'without':
        monkeypatch.setattr(system, 'fcntl', None)
    path = tmp_path / 'x'
    path.touch()
    process = holder(path, kind)
    with path.open('r+b') as file:
        with pytest.raises(OSError), system.held(file, path):
            pytest.fail('two processes hold it')
        if killed:
            process.kill()
        process.communicate(timeout=PATIENCE)
        with system.held(file, path):
            pass


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='forks')
def test_forked_worker_does_not_hold_the_file(tmp_path):
    path = tmp_path / 'x'
    path.touch()
    with path.open('r+b') as file, system.held(file, path):
        ours, theirs = multiprocessing.Pipe()
        worker = multiprocessing.get_context('fork').Process(target=theirs.recv, daemon=True)
        worker.start()
    process = holder(path, 'with')  # although the worker has the file open
    assert worker.is_alive()
    process.communicate()
    ours.send('end')
    worker.join(PATIENCE)


def test_number_of_cores_is_at_least_one(monkeypatch):
    assert system.usable_cores() >= 1
    monkeypatch.delattr(os, 'sched_getaffinity', raising=False)
    assert system.usable_cores() == (os.cpu_count() or 1)


def test_room_that_cannot_be_reserved_is_told(tmp_path, monkeypatch):
    with open(tmp_path / 'x', 'w+b') as file:
        monkeypatch.delattr(os, 'posix_fallocate', raising=False)
        assert system.reserve(file, 4096) is False


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='named pipes')
def test_named_pipe_is_opened_without_waiting(tmp_path):
    with written_pipe(tmp_path / 'x', b'abc'), system.open_at_once(tmp_path / 'x') as file:
        assert not os.get_blocking(file.fileno())


def test_file_is_opened_without_what_only_posix_has(tmp_path, monkeypatch):
    monkeypatch.delattr(os, 'O_NONBLOCK', raising=False)
    (tmp_path / 'x').write_bytes(b'abc\r\n\x1a')
    with system.open_at_once(tmp_path / 'x') as file:
        assert file.read() == b'abc\r\n\x1a'
