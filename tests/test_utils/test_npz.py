import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from mmcm.utils.errors import InputError
from mmcm.utils.npz import open_npz

IMAGES = np.random.RandomState(0).randint(0, 256, (5, 4, 6, 3)).astype(np.uint8)


def npy(array, version=(1, 0)):
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version=version)
    return content.getvalue()


def write(path, entries, compression=zipfile.ZIP_STORED, **options):
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in entries.items():
            with archive.open(
                zipfile.ZipInfo(name) if compression == zipfile.ZIP_STORED else name, 'w', **options
            ) as file:
                file.write(content)
    return path


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array).__name__ == 'mmap'


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_wrote_and_stored_ones_are_mapped(tmp_path, save):
    save(tmp_path / 'x.npz', IMAGES, np.arange(5), mean=np.float32([1.5, 2]))
    file = open_npz(tmp_path / 'x.npz')
    assert sorted(file) == ['arr_0', 'arr_1', 'mean'] and len(file) == 3 and 'mean' in file and 'x' not in file
    with np.load(tmp_path / 'x.npz') as expected:
        for name, array in file.items():
            assert np.array_equal(array, expected[name]) and array.dtype == expected[name].dtype
            assert is_mapped(array) == (save is np.savez)


@pytest.mark.parametrize('version', [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize('zip64', [False, True])
def test_every_npy_version_and_large_zips(tmp_path, version, zip64):
    path = write(tmp_path / 'x.npz', {'a.npy': npy(IMAGES, version), 'b.npy': npy(np.arange(3))}, force_zip64=zip64)
    file = open_npz(path)
    assert np.array_equal(file['a'], IMAGES) and np.array_equal(file['b'], np.arange(3))


def test_array_by_columns_has_the_same_values(tmp_path):
    np.savez(tmp_path / 'x.npz', np.asfortranarray(IMAGES))
    array = open_npz(tmp_path / 'x.npz')['arr_0']
    assert is_mapped(array) and array.flags.f_contiguous and np.array_equal(array, IMAGES)


def test_empty_and_scalar_arrays(tmp_path):
    np.savez(tmp_path / 'x.npz', np.zeros((0, 3)), np.float64(7))
    file = open_npz(tmp_path / 'x.npz')
    assert file['arr_0'].shape == (0, 3) and file['arr_1'] == 7


def test_what_is_written_into_an_array_does_not_reach_the_file(tmp_path):
    np.savez(tmp_path / 'x.npz', IMAGES)
    before = (tmp_path / 'x.npz').read_bytes()
    array = open_npz(tmp_path / 'x.npz')['arr_0']
    torch.from_numpy(array).zero_()  # and torch does not warn of an array that cannot be written to
    assert not array.any() and (tmp_path / 'x.npz').read_bytes() == before
    assert np.array_equal(open_npz(tmp_path / 'x.npz')['arr_0'], IMAGES)


def test_more_than_the_memory_can_be_mapped(tmp_path):
    rows = 2**33  # times 1000 bytes: 8.6 TB, of a file with holes
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, dict(descr='|u1', fortran_order=False, shape=(rows, 1000)))
    path = tmp_path / 'x.npz'
    info = zipfile.ZipInfo('arr_0.npy')
    info.CRC, info.header_offset = 0, 0
    info.file_size = info.compress_size = len(header.getvalue()) + rows * 1000
    with path.open('w+b') as file:
        start = info.FileHeader(zip64=True) + header.getvalue()
        file.write(start)
        try:
            file.truncate(len(start) + rows * 1000)
        except OSError:
            pytest.skip('files have to be smaller on this file system')
        file.seek(0, io.SEEK_END)
        with zipfile.ZipFile(file, 'w') as archive:
            archive.filelist.append(info)
    array = open_npz(path)['arr_0']
    assert array.shape == (rows, 1000) and array[rows - 1, 999] == 0


def test_other_entries_are_read_as_bytes(tmp_path):
    path = write(tmp_path / 'x.npz', {'arr_0.npy': npy(IMAGES), 'dataset.json': b'{}'})
    assert open_npz(path).read('dataset.json') == b'{}' and list(open_npz(path)) == ['arr_0']
    with pytest.raises(InputError, match='x.npz has no entry notes.txt, but arr_0.npy, dataset.json'):
        open_npz(path).read('notes.txt')


class Code:
    def __reduce__(self):
        return eval, ("open('run', 'w')",)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_objects_are_refused_and_not_unpickled(tmp_path, save, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ragged = np.empty(2, object)
    ragged[:] = [IMAGES[0], Code()]
    save('x.npz', ragged)
    with pytest.raises(InputError, match='arr_0 in x.npz holds Python objects'):
        open_npz('x.npz')['arr_0']
    assert not (tmp_path / 'run').exists()


def test_missing_array_is_told_with_those_that_are_there(tmp_path):
    np.savez(tmp_path / 'x.npz', mu=np.zeros(2), sigma=np.zeros((2, 2)))
    with pytest.raises(InputError, match='x.npz holds no array arr_0, but mu, sigma'):
        open_npz(tmp_path / 'x.npz')['arr_0']


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', pickle.dumps([1]), npy(IMAGES)])
def test_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / 'x.npz').write_bytes(content)
    with pytest.raises(InputError, match='x.npz is no npz file'):
        open_npz(tmp_path / 'x.npz')


def test_missing_file_and_folder_are_told(tmp_path):
    for path, reason in ((tmp_path / 'y.npz', 'No such file'), (tmp_path, 'Is a directory')):
        with pytest.raises(InputError, match=f'{path.name} cannot be read: {reason}'):
            open_npz(path)


def test_truncated_file_is_refused(tmp_path):
    np.savez(tmp_path / 'x.npz', IMAGES)
    whole = (tmp_path / 'x.npz').read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / 'x.npz').write_bytes(whole[:length])
        with pytest.raises(InputError, match='x.npz is no npz file, or not a whole one .*Copy it again.*mmcm pack'):
            open_npz(tmp_path / 'x.npz')


@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_array_of_fewer_bytes_than_its_header_tells_is_refused(tmp_path, compression):
    for content in (npy(IMAGES)[:-1], npy(IMAGES)[:40], b'', b'text'):
        path = write(tmp_path / 'x.npz', {'arr_0.npy': content, 'b.npy': npy(IMAGES)}, compression)
        with pytest.raises(InputError, match='arr_0 in .*x.npz is no whole array'):
            open_npz(path)['arr_0']


def test_damaged_compressed_data_are_refused(tmp_path):
    np.savez_compressed(tmp_path / 'x.npz', IMAGES)
    content = bytearray((tmp_path / 'x.npz').read_bytes())
    content[200:220] = bytes(20)
    (tmp_path / 'x.npz').write_bytes(content)
    with pytest.raises(InputError, match='arr_0 in .*x.npz is no whole array'):
        open_npz(tmp_path / 'x.npz')['arr_0']


def test_pointer_in_place_of_an_npz_is_called_one(tmp_path):
    (tmp_path / 'x.npz').write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n')
    with pytest.raises(InputError, match='x.npz is no npz file, or not a whole one .a Git LFS pointer in place of'):
        open_npz(tmp_path / 'x.npz')
