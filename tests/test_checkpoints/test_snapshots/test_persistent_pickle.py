import copyreg
import io
import json
import pickle
import struct
import sys
import zlib

import numpy as np
import pytest
import torch

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.snapshots.persistent_pickle import (
    NumberArray,
    PersistentObject,
    read_persistent_pickle,
    state_dict,
)
from mmcm.utils.bounded import Unreadable
from mmcm.utils.errors import InputError
from support import hostile_snapshots
from support.hostile_snapshots import (
    EXTENSIONS,
    SNAPSHOT,
    array,
    called,
    data,
    dict_of,
    named,
    number,
    persistent,
    snapshot,
    text,
    tuple_of,
)
from support.parity import FOLDER

NAMES = [name for name, _ in hostile_snapshots.calls('x')]
BOMBS = dict(hostile_snapshots.bombs())
CONFIGS = dict(hostile_snapshots.configs())


def refusal(path, read=read_checkpoint):
    """Return the error that a file is refused with; it is one line with the name of the file."""
    with pytest.raises(InputError) as error:
        read(path)
    message = str(error.value)
    assert path.name in message and '\n' not in message and len(message) < 1000
    return message


@pytest.mark.parametrize('name', ['edm', 'edm2'])
def test_content_is_that_of_the_reference(name):
    content = read_persistent_pickle(FOLDER / f'{name}_snapshot_tiny.pkl')
    structure = json.loads((FOLDER / f'{name}_snapshot_structure.json').read_text())
    assert list(content) == structure['top_level_keys']
    assert content['ema'].state['_init_kwargs'] == structure['init_kwargs_of_ema']
    weights = state_dict(content['ema'])
    found = [[key, list(value.shape), str(value.dtype)] for key, value in weights.items()]
    assert found == structure['state_dict']
    checksums = structure['crc32_of_each_tensor']
    assert {key: zlib.crc32(value.contiguous().numpy().tobytes()) for key, value in weights.items()} == checksums


def test_numbers_of_numpy_are_plain_numbers():
    block = read_persistent_pickle(SNAPSHOT)['ema'].state['_modules']['model'].state['_modules']['dec']
    scale = block.state['_modules']['8x8_block0'].state['skip_scale']
    assert type(scale) is float and scale == pytest.approx(0.5**0.5)


@pytest.mark.parametrize('package', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_numbers_are_read_as_either_release_of_numpy_writes_them(tmp_path, package):
    (tmp_path / 'x.pkl').write_bytes(SNAPSHOT.read_bytes().replace(b'\x8c\x16numpy._core.multiarray', text(package)))
    assert len(read_checkpoint(tmp_path / 'x.pkl')['ema']) == 149


def test_source_in_a_snapshot_is_not_run(tmp_path):
    trap = tmp_path / 'trap'
    source = f'open({str(trap)!r}, "w").close()'
    (tmp_path / 'x.pkl').write_bytes(snapshot(persistent('Linear', module_src=source)))
    assert isinstance(read_persistent_pickle(tmp_path / 'x.pkl')['ema'].state['extra'], PersistentObject)
    assert not trap.exists()


@pytest.mark.parametrize('name', NAMES)
def test_calls_are_refused_by_name_and_nothing_is_run(tmp_path, monkeypatch, name):
    for code in EXTENSIONS:  # as another program of the process may have registered them
        monkeypatch.setitem(copyreg._inverted_registry, code, ('os', 'system'))
    monkeypatch.delitem(sys.modules, 'antigravity', raising=False)
    trap, path = tmp_path / 'trap', tmp_path / 'hostile.pkl'
    path.write_bytes(dict(hostile_snapshots.calls(trap))[name])
    message = refusal(path)
    for word in ('system', 'Popen', 'eval'):
        assert word not in name or word in message
    assert 'refused, nothing in it was run' in message or 'is no whole checkpoint' in message
    assert [each.name for each in tmp_path.iterdir()] == ['hostile.pkl'] and 'antigravity' not in sys.modules


def test_hostile_files_are_many_and_would_run_elsewhere(tmp_path):
    assert len(set(NAMES)) == len(NAMES) >= 50
    trap = tmp_path / 'trap'
    sprung = 0
    for name, content in hostile_snapshots.calls(trap):
        if name in ('REDUCE os.system', 'REDUCE builtins.eval', 'OBJ', 'INST'):  # without what needs EDM's program
            payload = content[content.index(text('extra')) + len(text('extra')) :]
            payload = payload[: payload.rindex(b'u' + b'u' + b't')] if b'uut' in payload else payload
            pickle.Unpickler(io.BytesIO(b'\x80\x04' + payload + b'.')).load()
            sprung += trap.exists()
            trap.unlink(missing_ok=True)
    assert sprung == 4


@pytest.mark.parametrize('name', BOMBS)
def test_small_files_that_ask_for_much_are_refused(tmp_path, name):
    path = tmp_path / 'bomb.pkl'
    path.write_bytes(BOMBS[name])
    assert 'is no whole checkpoint' in refusal(path)


@pytest.mark.parametrize('name', CONFIGS)
def test_networks_without_counterpart_are_refused(tmp_path, name):
    path = tmp_path / 'network.pkl'
    path.write_bytes(CONFIGS[name])
    refusal(path, lambda path: Checkpoint(path).config)


def test_weights_that_are_not_kept_are_left_out(tmp_path):
    hidden = b'\x8f(' + text('cache') + b'\x90'
    parts = dict(_buffers=dict_of(cache=text('x')), _non_persistent_buffers_set=hidden)
    (tmp_path / 'x.pkl').write_bytes(snapshot(b'N', **parts))
    assert state_dict(read_persistent_pickle(tmp_path / 'x.pkl')['ema']) == {}


def test_name_that_is_not_called_is_refused(tmp_path):
    (tmp_path / 'x.pkl').write_bytes(snapshot(named('torch.Tensor')))
    assert 'torch.Tensor' in refusal(tmp_path / 'x.pkl')


def test_tensors_of_one_storage_share_it():
    weights = read_checkpoint(SNAPSHOT)['ema']
    assert all(isinstance(value, torch.Tensor) and not value.requires_grad for value in weights.values())


def test_numbers_of_modules_and_storages_are_bounded(monkeypatch):
    monkeypatch.setattr('mmcm.checkpoints.snapshots.persistent_pickle.MAX_STORAGES', 9)
    with pytest.raises(Unreadable, match='more than 9 storages'):
        read_persistent_pickle(SNAPSHOT)
    monkeypatch.setattr('mmcm.checkpoints.snapshots.persistent_pickle.ENTRIES', 9)
    part = PersistentObject('Linear', {})
    with pytest.raises(Unreadable, match='more than 9 modules'):
        state_dict(PersistentObject('Linear', dict(_modules={str(index): part for index in range(9)})))


def test_number_of_numpy_in_the_other_order_of_bytes(tmp_path):
    dtype = called('numpy.dtype', text('f8'), b'\x89', b'\x88')
    state = tuple_of(number(3), text('>'), b'N', b'N', b'N', number(-1), number(-1), number(0)) + b'b'
    value = called('numpy._core.multiarray.scalar', dtype + state, data(struct.pack('>d', 2.5)))
    (tmp_path / 'x.pkl').write_bytes(snapshot(value))
    assert read_persistent_pickle(tmp_path / 'x.pkl')['ema'].state['extra'] == 2.5


@pytest.mark.parametrize('package', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_arrays_of_numpy_are_plain_numbers(tmp_path, package):
    (tmp_path / 'x.pkl').write_bytes(snapshot(array([0.5, -2.0], package)))
    found = read_persistent_pickle(tmp_path / 'x.pkl')['ema'].state['extra']
    assert isinstance(found, NumberArray) and found.values == [0.5, -2.0]


@pytest.mark.parametrize(
    'payload',
    [
        array([1.0] * 1025),
        array([1.0, 2.0], shape=(1, 2)),
        array([1.0, 2.0], shape=(3,)),
        array([1.0], shape=(2**30,)),
        array([1.0], dtype='O8'),
        array([1.0], content=b''),
        called('numpy.core.multiarray._reconstruct', named('numpy.ndarray'), tuple_of(number(2**30)), data(b'b')),
        named('numpy.ndarray') + tuple_of(tuple_of(number(2**30))) + b'\x81',
        called('numpy.ndarray', tuple_of(number(2**30))),
    ],
)
def test_arrays_that_are_none_are_refused(tmp_path, payload):
    (tmp_path / 'x.pkl').write_bytes(snapshot(payload))
    refusal(tmp_path / 'x.pkl')


def test_array_that_is_pickled_by_numpy_is_read(tmp_path):
    pickled = pickle.dumps(np.float32([0.25, 3.0]), 4)[2:]
    pickled = pickled[9:-1]  # without its frame and its end
    (tmp_path / 'x.pkl').write_bytes(snapshot(pickled))
    assert read_persistent_pickle(tmp_path / 'x.pkl')['ema'].state['extra'].values == [0.25, 3.0]
