import collections
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.torch_files import EXPANDED, check_torch_file
from mmcm.utils.bounded import Unreadable
from mmcm.utils.errors import InputError

FORMATS = (True, False)  # zip, and the older one


def save(path, content, new=True):
    torch.save(content, path, _use_new_zipfile_serialization=new)
    return path


def weights():
    shared = torch.arange(24.0)
    return dict(
        a=torch.ones(2, 3),
        b=torch.nn.Parameter(torch.zeros(())),
        half=torch.ones(3, dtype=torch.bfloat16),
        view=shared[4:8],
        turned=shared.reshape(4, 6).t(),
        empty=torch.ones(0, 3),
        integers=torch.arange(3),
        flags=torch.tensor([True]),
        wide=torch.ones(1).expand(5),
        whole=torch.complex(torch.ones(2), torch.ones(2)),
    )


@pytest.mark.parametrize('new', FORMATS)
def test_all_that_checkpoints_hold_is_let_through(tmp_path, new):
    state = torch.nn.Linear(2, 3).state_dict()  # which has metadata as an attribute
    tagged = torch.nn.Parameter(torch.ones(2))
    tagged.tag = 'a'
    content = dict(
        weights(),
        state=state,
        tagged=tagged,
        log=HistoryBuffer([1.0, 2.0], [1, 1]),
        scalar=np.float64(3),
        size=torch.Size((1, 2)),
        counter=collections.Counter({3: 1}),
        dtype=torch.float16,
        device=torch.device('cpu'),
        text='ü' * 999,
        raw=b'abc',
        chosen={1, 2},
        nested=[(1, [dict(a=None)])],
        optimizer=torch.optim.Adam([tagged]).state_dict(),
    )
    path = save(tmp_path / 'x.pth', content, new)
    check_torch_file(path)
    read = read_checkpoint(path)
    assert torch.equal(read['turned'], content['turned']) and torch.equal(read['tagged'], tagged)
    assert read['counter'] == content['counter'] and read['chosen'] == {1, 2}


def rewritten(path, change):
    """Write a zip anew, each entry of which `change` may change; it returns (name, content, method) or None."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in entries:
            name, content, method = change(name, content) or (name, content, zipfile.ZIP_STORED)
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def test_record_that_is_smaller_than_its_storage_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(1000)))
    rewritten(path, lambda name, content: name.endswith('data/0') and (name, content[:100], zipfile.ZIP_STORED))
    with pytest.raises(Unreadable, match='its storage 0 declares 4000 bytes, and has 100'):
        check_torch_file(path)


def test_missing_record_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(1000)))
    rewritten(path, lambda name, content: name.endswith('data/0') and ('x', content, zipfile.ZIP_STORED))
    with pytest.raises(Unreadable, match='its storage 0 declares 4000 bytes, and has None'):
        check_torch_file(path)


def test_compressed_record_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(1000)))
    rewritten(path, lambda name, content: (name, content, zipfile.ZIP_DEFLATED))
    with pytest.raises(InputError, match='is compressed or encrypted, and torch.save writes none so'):
        read_checkpoint(path)


@pytest.mark.parametrize('name', ['x/data/0', 'X/DATA/0'])
def test_two_records_of_a_name_are_refused(tmp_path, name):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(3)))
    with zipfile.ZipFile(path, 'a') as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr('warnings.warn', lambda *args, **options: None)
        archive.writestr(name, b'abc')
    with pytest.raises(Unreadable, match='share a name'):
        check_torch_file(path)


def test_pickle_that_zipfile_and_torch_would_look_for_under_different_names_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(3)))

    def field(name, other):
        data = b'\x01' + zlib.crc32(name.encode()).to_bytes(4, 'little') + other.encode()
        return struct.pack('<HH', 0x7075, len(data)) + data

    with zipfile.ZipFile(path, 'w') as archive:
        for name, other in (('x/data.pkl', 'x/other'), ('x/zzzz', 'x/data.pkl')):
            entry = zipfile.ZipInfo(name)
            entry.extra = field(name, other)
            archive.writestr(entry, b'\x80\x02}.')
    with pytest.raises(InputError, match='has another name'):
        read_checkpoint(path)


def test_something_behind_the_directory_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(3)))
    content = path.read_bytes()
    for behind in (b'\0', content[-22:]):
        path.write_bytes(content + behind)
        with pytest.raises(Unreadable, match='directory|zip file'):
            check_torch_file(path)


def test_older_format_that_ends_before_its_storages_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(1000)), new=False)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unreadable, match='its storages declare 4008 bytes, and 4007 are there'):
        check_torch_file(path)


@pytest.mark.parametrize('new', FORMATS)
@pytest.mark.parametrize(
    'content, name',
    [
        (lambda: bytearray(b'abc'), 'builtin.*bytearray'),
        (lambda: torch.ones(2, 2).to_sparse(), '_rebuild_sparse_tensor'),
    ],
)
def test_what_makes_more_than_it_holds_is_refused(tmp_path, content, name, new):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('warnings.warn', lambda *args, **options: None)
        path = save(tmp_path / 'x.pth', dict(a=content()), new)
    with pytest.raises(InputError, match=f'contains more than weights .*{name}'):
        read_checkpoint(path)


@pytest.mark.parametrize('new', FORMATS)
@pytest.mark.parametrize('offset, stride', [(2**34, 1), (0, 2**34)])
@pytest.mark.filterwarnings('ignore:TypedStorage is deprecated')
def test_tensor_behind_its_storage_which_torch_would_enlarge_is_refused(tmp_path, offset, stride, new):
    class Distant:
        def __reduce__(self):
            arguments = (torch.zeros(2).storage(), offset, (2,), (stride,), False, collections.OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    path = save(tmp_path / 'x.pth', dict(a=Distant()), new)
    with pytest.raises(Unreadable, match='lie behind the 2 of its storage'):
        check_torch_file(path)


def test_user_may_let_more_through(tmp_path):
    class Note:
        pass

    Note.__module__, Note.__qualname__ = __name__, 'Note'
    globals()['Note'] = Note
    path = save(tmp_path / 'x.pth', dict(a=torch.ones(2), note=Note()))
    with pytest.raises(InputError, match='Note'):
        read_checkpoint(path)
    with torch.serialization.safe_globals([Note]):
        assert isinstance(read_checkpoint(path)['note'], Note)


def test_header_of_a_safetensors_file_is_bounded(tmp_path):
    path = tmp_path / 'x.safetensors'
    for length in (2**62, 10):
        path.write_bytes(struct.pack('<Q', length) + b'{}')
        with pytest.raises(InputError, match=f'its header declares {length} bytes'):
            read_checkpoint(path)


def expanded(count, values, dtype=torch.half):
    return {f'w{index}': torch.zeros(1, dtype=dtype).expand(values) for index in range(count)}


@pytest.mark.parametrize('new', FORMATS)
def test_tensors_that_are_larger_than_their_storages_are_bounded_together(tmp_path, new):
    check_torch_file(save(tmp_path / 'x.pth', expanded(4, EXPANDED // 4), new))
    for content in (expanded(5, EXPANDED // 4), expanded(2, EXPANDED, torch.double)):
        with pytest.raises(Unreadable, match='its tensors have .* values together'):
            check_torch_file(save(tmp_path / 'x.pth', content, new))


@pytest.mark.parametrize('kind', ['views', 'names', 'parameters', 'attributes'])
def test_storage_that_occurs_many_times_is_refused(tmp_path, kind):
    storage = torch.zeros(2**16)
    same = storage.view(256, 256)
    tagged = storage[:]
    tagged.tag = 'a'
    made = dict(
        views=lambda: storage[:],
        names=lambda: same,
        parameters=lambda: torch.nn.Parameter(storage[:]),
        attributes=lambda: tagged,
    )[kind]
    for count, whole in ((2 + EXPANDED // 2**16, True), (3 + EXPANDED // 2**16, False)):
        path = save(tmp_path / 'x.pth', dict(state_dict={f'w{index}': made() for index in range(count)}))
        if whole:
            check_torch_file(path)
        else:
            with pytest.raises(InputError, match='its tensors have .* values together'):
                read_checkpoint(path)


def test_weights_that_layers_share_are_let_through(tmp_path, monkeypatch):
    monkeypatch.setattr('mmcm.checkpoints.torch_files.EXPANDED', 0)
    table = torch.nn.Parameter(torch.ones(1000, 8))
    path = save(
        tmp_path / 'x.pth', dict(state_dict=dict(embedding=table, out=table, again=table.data), inner=torch.ones(9000))
    )
    assert len(read_checkpoint(path)['state_dict']) == 3
