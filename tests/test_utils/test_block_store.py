import json
import os
import signal
import subprocess
import sys

import pytest

from mmcm.utils import files
from mmcm.utils.block_store import BlockStore, Journal
from mmcm.utils.errors import InputError

ADVICE = 'delete it to start anew'


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / 'request.json', 'an unfinished run', ADVICE)


@pytest.fixture
def store(tmp_path):
    store = BlockStore(tmp_path / 'x.parts', size_of=lambda index: index + 1)
    store.open()
    return store


def test_journal_returns_what_was_written(journal):
    assert journal.read() is None
    journal.write(dict(seed=3, shape=[2, 4]))
    assert journal.read() == dict(seed=3, shape=[2, 4])
    journal.check(dict(shape=[2, 4]), journal.read())
    journal.check(dict(shape=[5]), None)  # a new job


@pytest.mark.parametrize('content', ['', '{', '5', 'null', '[["a", 1]]'])
def test_damaged_journal_is_refused_with_advice(journal, content):
    journal.path.write_text(content)
    with pytest.raises(InputError, match=rf'request.json cannot be read as the journal of .* run \(.*\): {ADVICE}\.'):
        journal.read()


@pytest.mark.parametrize('request_, differing', [
    (dict(seed=4, weights='a'), 'seed 3 instead of 4'),
    (dict(seed=3, weights='b'), 'other weights'),
    (dict(seed=4, weights='b', clip=True), 'seed 3 instead of 4, other weights, other clip'),
])  # yapf: disable
def test_journal_of_another_request_is_refused_by_what_differs(journal, request_, differing):
    journal.write(dict(seed=3, weights='a'))
    with pytest.raises(
        InputError, match=rf'belongs to an unfinished run of another request \({differing}\): {ADVICE}\.'
    ):
        journal.check(request_, journal.read())


def test_missing_blocks_are_those_not_there_or_of_another_size(store):
    assert store.missing(range(4)) == [0, 1, 2, 3]
    store.write(1, b'ab')
    store.write(2, b'truncated')
    assert store.missing(range(4)) == [0, 2, 3] and store.missing([1]) == []
    store.size_of = None
    assert store.missing(range(4)) == [0, 3]


def test_sizes_are_asked_of_new_blocks_alone(store, monkeypatch):
    asked, size_of = [], store.size_of
    store.size_of = lambda index: asked.append(index) or size_of(index)
    for index in (3, 5):
        store.write(index, bytes(index + 1))
    missing = store.missing(range(10))
    store.write(7, bytes(8))
    assert store.missing(missing) == [0, 1, 2, 4, 6, 8, 9] and asked == [3, 5, 7]


def test_block_is_not_written_into_a_folder_that_was_removed(store):
    store.write(0, b'a')
    store.remove()
    with pytest.raises(InputError, match=r'block_000001\.raw cannot be written'):
        store.write(1, b'ab')
    assert not store.folder.exists() and list(store.folder.parent.iterdir()) == []


def test_removing_takes_the_rest_of_a_removal_that_was_killed(store):
    store.write(0, b'a')
    rest = files.temporary(store.folder)
    store.folder.rename(rest)
    store.remove()
    assert list(rest.parent.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from mmcm.utils.block_store import BlockStore
store = BlockStore(Path(sys.argv[1]))
store.open()
store.write(0, b'whole')
Path.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
store.write(1, b'written, but without its name')
"""


def test_process_killed_while_writing_loses_that_block_alone(tmp_path):
    killed = subprocess.run([sys.executable, '-c', KILLED, tmp_path / 'x'], env={**os.environ})
    assert killed.returncode == -signal.SIGKILL
    store = BlockStore(tmp_path / 'x')
    assert store.missing(range(2)) == [1] and store.path(0).read_bytes() == b'whole'


def test_journal_is_json_with_the_indentation_asked_for(tmp_path):
    Journal(tmp_path / 'export.json', 'an export', ADVICE, indent=2).write(dict(a=1))
    assert (tmp_path / 'export.json').read_text() == json.dumps(dict(a=1), indent=2) + '\n'
