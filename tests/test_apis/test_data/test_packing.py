import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcm.apis.data import image_chunks, pack_file, packing
from mmcm.apis.data.packing import check_nothing_random, pack, verify
from mmcm.datasets import DigitsDataset, ImageFolder, ImagePack
from mmcm.utils.errors import InputError
from support.image_folders import files, write_folder, write_transparent_folder

TESTS = Path(__file__).parents[2]
PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'images')


def images_of(dataset):
    return np.stack([dataset[index]['inputs'].permute(1, 2, 0).numpy() for index in range(len(dataset))])


def test_pack_holds_images_and_labels_of_the_data_set(folder, tmp_path):
    dataset = ImageFolder(str(folder), PIPELINE)
    done = pack(dataset, tmp_path / 'x.npz', dict(type='ImageFolder'))
    assert done == packing.Packing(20, [], 0) and files(tmp_path) == ['x.npz']
    with np.load(tmp_path / 'x.npz') as file:  # which looks at the checksums of the zip, too
        assert np.array_equal(file['arr_0'], images_of(dataset)) and file['arr_0'].dtype == np.uint8
        assert np.array_equal(file['arr_1'], dataset.labels) and file['arr_1'].dtype == np.int64
        notes = json.loads(file['dataset.json'])
    assert notes['classes'] == ['a', 'b'] and notes['source'] == dict(type='ImageFolder')
    packed = ImagePack(tmp_path / 'x.npz')
    assert np.array_equal(images_of(packed), images_of(dataset)) and packed.metainfo['classes'] == ('a', 'b')
    with zipfile.ZipFile(tmp_path / 'x.npz') as archive:
        assert archive.testzip() is None
    assert (tmp_path / 'x.npz').stat().st_size < 4096 + 20 * (6 * 8 * 3 + 8) + 3000  # of the room that was taken
    if sys.platform == 'linux':
        assert packed.images.data_ptr() % 4096 == 0  # a page, so that a batch of rows touches as few as can be


def test_images_without_labels_and_grey_ones(tmp_path):
    digits = DigitsDataset()
    digits.labels = None
    pack(digits, tmp_path / 'x.npz')
    packed = ImagePack(tmp_path / 'x.npz', labelled=False)
    assert np.array_equal(packed.images, digits.images) and packed.num_classes is None
    assert 'labels' not in packed.notes['sha256'] and verify(tmp_path / 'x.npz') == packed.notes


def test_mirror_images_are_not_packed(folder, tmp_path):
    pack(ImageFolder(str(folder), PIPELINE, flip=True), tmp_path / 'x.npz')
    assert len(ImagePack(tmp_path / 'x.npz')) == len(ImagePack(tmp_path / 'x.npz').labels) == 20


@pytest.mark.parametrize('corrupt', [[], ['a/000.png', 'b/011.png', 'a/018.png']])
def test_bytes_do_not_depend_on_the_number_of_processes(folder, tmp_path, monkeypatch, corrupt):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    for name in corrupt:
        (folder / name).write_bytes(b'no picture')
    for workers in (1, 3):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / f'{workers}.npz', workers=workers, corrupt='skip')
    assert (tmp_path / '1.npz').read_bytes() == (tmp_path / '3.npz').read_bytes()


def test_corrupt_images_are_left_out_and_listed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    whole = ImageFolder(str(folder), PIPELINE)
    images, labels, corrupt = images_of(whole), whole.labels, [0, 9, 10, 11, 19]  # all of the fourth chunk
    for index in corrupt:
        path = folder / whole.source_of(index)
        path.write_bytes(path.read_bytes()[:60])
    done = pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz', corrupt='skip')
    assert done.num_images == 15
    for index, reason in zip(corrupt, done.corrupt):
        assert whole.source_of(index) in reason
    packed = ImagePack(tmp_path / 'x.npz')
    kept = np.delete(np.arange(20), corrupt)
    assert np.array_equal(images_of(packed), images[kept]) and np.array_equal(packed.labels, labels[kept])
    assert verify(tmp_path / 'x.npz')['corrupt'] == done.corrupt
    with zipfile.ZipFile(tmp_path / 'x.npz') as archive:
        assert archive.testzip() is None


def test_corrupt_image_stops_and_what_is_done_is_gone_on_from(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    (folder / 'b' / '003.png').write_bytes(b'no picture')  # image 11 of 20
    dataset = ImageFolder(str(folder), PIPELINE)
    with pytest.raises(InputError, match='003.png .* 9 images are packed.*--corrupt skip'):
        pack(dataset, tmp_path / 'x.npz')
    assert not (tmp_path / 'x.npz').exists()
    done = pack(dataset, tmp_path / 'x.npz', corrupt='skip')
    assert done.num_found == 9 and done.num_images == 19 and files(tmp_path) == ['x.npz']
    pack(dataset, tmp_path / 'y.npz', corrupt='skip')
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'y.npz').read_bytes()


def test_images_left_out_before_a_run_was_stopped_stay_left_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    (folder / 'a' / '002.png').write_bytes(b'no picture')
    dataset = ImageFolder(str(folder), PIPELINE)
    pack(dataset, tmp_path / 'whole.npz', corrupt='skip')
    read = dataset.read

    def stop(position):
        if position == 15:
            raise KeyboardInterrupt
        return read(position)

    dataset.read = stop
    with pytest.raises(KeyboardInterrupt):
        pack(dataset, tmp_path / 'x.npz', corrupt='skip')
    dataset.read = read
    assert pack(dataset, tmp_path / 'x.npz', corrupt='skip').num_found == 14
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'whole.npz').read_bytes()


def test_nothing_is_left_where_nothing_was_done(folder, tmp_path):
    for path in folder.rglob('*.png'):
        path.write_bytes(b'no picture')
    for corrupt, match in (('stop', '000.png .*--corrupt skip leaves such'), ('skip', 'none of the 20 images')):
        with pytest.raises(InputError, match=match):
            pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz', corrupt=corrupt)
        assert files(tmp_path) == []


def test_images_of_two_sizes_are_refused_by_name(folder, tmp_path):
    cv2.imwrite(str(folder / 'b' / '013.png'), np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(
        InputError, match='a/000.png has 8 x 6 pixels .* b/013.png has 9 x 6 .*--size'.replace(' b/', ' .*b/')
    ):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz', corrupt='skip')
    assert files(tmp_path) == []


PACK = """
import sys
from mmcm.apis.data import image_chunks, packing
from mmcm.datasets import ImageFolder

image_chunks.CHUNK_IMAGES, packing.SAVE_INTERVAL = 3, 0.
if __name__ == '__main__':
    dataset = ImageFolder(sys.argv[1], [dict(type='LoadImage'), dict(type='PackImage')])
    packing.pack(dataset, sys.argv[2], workers=int(sys.argv[3]))
"""


def test_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / 'images', 120)
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    dataset = ImageFolder(str(folder), PIPELINE)
    pack(dataset, tmp_path / 'whole.npz')
    out, journal = tmp_path / 'x.npz', tmp_path / '.x.npz.unfinished.json'
    (tmp_path / 'pack.py').write_text(PACK, encoding='utf-8')
    journal_of = f'Path({str(journal)!r})'
    killed = subprocess.run(
        [
            sys.executable,
            '-W',
            'ignore',
            TESTS / 'support' / 'kill_when.py',
            f'{journal_of}.exists() and json.loads({journal_of}.read_bytes())["rows"] >= 15',
            tmp_path / 'pack.py',
            folder,
            out,
            '2',
        ]
    )
    (tmp_path / 'pack.py').unlink()
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    done = pack(dataset, out, workers=1)
    assert 15 <= done.num_found < 120 and done.num_images == 120
    assert out.read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    assert files(tmp_path) == ['whole.npz', 'x.npz']


def test_unfinished_pack_of_another_source_is_not_touched(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    (folder / 'b' / '003.png').write_bytes(b'no picture')
    with pytest.raises(InputError, match='9 images'):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    before = files(tmp_path)
    with pytest.raises(
        InputError, match=r'belongs to an unfinished pack of another request .*shape.*delete .*unfinished.json'
    ):
        pack(DigitsDataset(), tmp_path / 'x.npz')
    assert files(tmp_path) == before
    (tmp_path / '.x.npz.unfinished.json').unlink()
    assert pack(DigitsDataset(), tmp_path / 'x.npz').num_found == 0


def test_unfinished_pack_of_what_has_changed_since_is_not_touched(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    (folder / 'b' / '003.png').write_bytes(b'no picture')
    with pytest.raises(InputError, match='9 images'):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    relabelled = ImageFolder(str(folder), PIPELINE)
    relabelled.labels[5] ^= 1
    os.utime(folder / 'a' / '002.png', (1, 1))
    for dataset, what in (
        (ImageFolder(str(folder), PIPELINE), 'other fingerprint'),
        (relabelled, 'other fingerprint, other labels'),
    ):
        with pytest.raises(InputError, match=rf'of another request \({what}\)'):
            pack(dataset, tmp_path / 'x.npz', corrupt='skip')


def test_two_processes_do_not_pack_into_one_file(folder, tmp_path):
    code = (
        'import sys; from pathlib import Path; from mmcm.apis.data.pack_file import PackFile\n'
        'with PackFile(Path(sys.argv[1]), (6, 8, 3), 20, {}): print(flush=True); input()'
    )
    other = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', code, tmp_path / 'x.npz'], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    with pytest.raises(InputError, match=f'x.npz is being packed by process {other.pid} on'):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    other.communicate(b'\n')
    pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    assert files(tmp_path) == ['x.npz']


@pytest.mark.parametrize('call', ['pwrite', 'fsync', 'posix_fallocate'])
def test_disk_that_fails_in_the_middle_leaves_nothing(folder, tmp_path, monkeypatch, call):
    calls = []

    def fail(*args):
        calls.append(args)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(InputError, match='x.npz cannot be written: No space left on device'):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    assert calls and files(tmp_path) == []


def test_room_is_looked_for_where_it_cannot_be_reserved(folder, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr(os, 'posix_fallocate', refuse)
    dataset = ImageFolder(str(folder), PIPELINE)
    pack(dataset, tmp_path / 'x.npz')
    verify(tmp_path / 'x.npz')
    monkeypatch.setattr('shutil.disk_usage', lambda path: type('Usage', (), dict(free=1000)))
    with pytest.raises(InputError, match='y.npz cannot be written: No space left'):
        pack(dataset, tmp_path / 'y.npz')
    assert files(tmp_path) == ['x.npz']


def test_what_is_packed_already_needs_no_more_room(folder, tmp_path, monkeypatch):
    monkeypatch.delattr(os, 'posix_fallocate')
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 3)
    (folder / 'b' / '003.png').write_bytes(b'no picture')
    dataset = ImageFolder(str(folder), PIPELINE)
    with pytest.raises(InputError, match='9 images are packed'):
        pack(dataset, tmp_path / 'x.npz')
    row = 6 * 8 * 3
    free = 20 * (row + 8) + pack_file.ROOM_FOR_NOTES - 9 * row
    monkeypatch.setattr('shutil.disk_usage', lambda path: type('Usage', (), dict(free=free)))
    assert pack(dataset, tmp_path / 'x.npz', corrupt='skip').num_images == 19
    with pytest.raises(InputError, match='No space left'):
        pack(dataset, tmp_path / 'y.npz', corrupt='skip')


def test_verify_finds_a_changed_byte(folder, tmp_path):
    path = tmp_path / 'x.npz'
    pack(ImageFolder(str(folder), PIPELINE), path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        labels = archive.getinfo('arr_1.npy').header_offset + 30 + len('arr_1.npy') + 128
    for offset, what in ((4096, 'images'), (4096 + 20 * 6 * 8 * 3 - 1, 'images'), (labels, 'labels')):
        content = bytearray(whole)
        content[offset] ^= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match=f'the {what} in .*x.npz are not those that were packed'):
            verify(path)
    path.write_bytes(whole)
    assert verify(path)['num_images'] == 20


def test_verify_refuses_what_has_no_digests(tmp_path):
    np.savez(tmp_path / 'x.npz', np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match='has no digests'):
        verify(tmp_path / 'x.npz')


def test_random_transforms_are_refused():
    check_nothing_random([dict(type='CenterCropToSquare')])
    with pytest.raises(InputError, match='RandomCropToSquare in the pipeline is random'):
        check_nothing_random([dict(type='LoadImage'), dict(type='mmcm.RandomCropToSquare')])


def test_run_that_was_stopped_counts_its_transparent_images(tmp_path, monkeypatch):
    monkeypatch.setattr(image_chunks, 'CHUNK_IMAGES', 2)
    folder = write_transparent_folder(tmp_path / 'images')
    broken = folder / 'dog' / '5.png'
    content, status = broken.read_bytes(), broken.stat()
    broken.write_bytes(bytes(len(content)))
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match='4 images are packed'):
        pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    broken.write_bytes(content)
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz')
    assert done == packing.Packing(6, [], 4, 'composited 6 of 6 images with transparency on white')


def test_reasons_that_a_pack_holds_are_bounded(folder, tmp_path, monkeypatch):
    monkeypatch.setattr('mmcm.apis.data.packing.MOST_REASONS', 2)
    for name in ('a/000.png', 'b/011.png', 'a/018.png'):
        (folder / name).write_bytes(b'')
    done = pack(ImageFolder(str(folder), PIPELINE), tmp_path / 'x.npz', corrupt='skip')
    notes = verify(tmp_path / 'x.npz')
    assert len(done.corrupt) == notes['num_corrupt'] == 3 and notes['corrupt'] == done.corrupt[:2]


def test_links_to_nothing_are_left_out_like_images_that_cannot_be_read(folder, tmp_path):
    (folder / 'a' / '999.png').symlink_to(tmp_path / 'nowhere.png')
    dataset = ImageFolder(str(folder), PIPELINE)
    with pytest.raises(InputError, match=r'999\.png cannot be read: No such file'):
        pack(dataset, tmp_path / 'x.npz')
    done = pack(dataset, tmp_path / 'x.npz', corrupt='skip')
    assert done.num_images == 20 and '999.png cannot be read: No such file' in done.corrupt[0]
