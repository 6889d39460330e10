import json
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest

from mmcm.apis.sampling import image_archives
from mmcm.apis.sampling.image_archives import ImageSet
from mmcm.utils.errors import InputError

RNG = np.random.default_rng(0)


def image_set(number=7, channels=3, labels=None, origin=None):
    pixels = RNG.integers(0, 256, (number, 8, 8, channels), np.uint8)
    blocks = [pixels[start : start + 3] for start in range(0, number, 3)]
    return pixels, ImageSet(pixels.shape, lambda: iter(blocks), labels, origin or dict(seed=0))


def test_npz_is_what_the_adm_evaluator_reads(tmp_path):
    pixels, images = image_set(labels=[3, 1, 4, 1, 5, 9, 2])
    image_archives.write(tmp_path / 'x.npz', images)
    with np.load(tmp_path / 'x.npz') as file:
        assert file.files == ['arr_0', 'arr_1'] and file['arr_1'].dtype == np.int64
        assert file['arr_1'].tolist() == [3, 1, 4, 1, 5, 9, 2]
    # The evaluator streams the array: it reads the header of the member itself, and then the pixels as they stand.
    with zipfile.ZipFile(tmp_path / 'x.npz') as archive, archive.open('arr_0.npy') as member:
        assert np.lib.format.read_magic(member) == (1, 0)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        assert (shape, fortran, dtype) == ((7, 8, 8, 3), False, np.dtype(np.uint8))
        assert member.read() == pixels.tobytes()


def test_npz_without_labels_has_the_images_alone(tmp_path):
    pixels, images = image_set(channels=1)
    image_archives.write(tmp_path / 'x.npz', images)
    with np.load(tmp_path / 'x.npz') as file:
        assert file.files == ['arr_0'] and (file['arr_0'] == pixels).all()


@pytest.mark.parametrize('channels', [1, 3])
def test_zip_and_folder_hold_the_same_pngs_and_labels(tmp_path, channels):
    pixels, images = image_set(1003, channels, labels=list(range(1003)))
    for name in ('x.zip', 'x'):
        image_archives.write(tmp_path / name, images)
    with zipfile.ZipFile(tmp_path / 'x.zip') as archive:
        assert archive.testzip() is None
        labels = json.loads(archive.read('dataset.json'))['labels']
        assert labels[3] == ['00000/img00000003.png', 3] and labels[1002] == ['00001/img00001002.png', 1002]
        for (name, _), image in zip(labels, pixels):
            decoded = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            assert (decoded == (image[..., 0] if channels == 1 else image[..., ::-1])).all()
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
        for name in archive.namelist():
            assert (tmp_path / 'x' / name).read_bytes() == archive.read(name)
        assert len(list((tmp_path / 'x').rglob('*.png'))) == 1003 == len(archive.namelist()) - 1


def test_zip_without_labels_says_so(tmp_path):
    image_archives.write(tmp_path / 'x.zip', image_set()[1])
    with zipfile.ZipFile(tmp_path / 'x.zip') as archive:
        assert json.loads(archive.read('dataset.json')) == dict(labels=None)


def test_sheet_has_a_tile_per_image(tmp_path):
    pixels, images = image_set(6, 3)
    image_archives.write(tmp_path / 'x.png', images, columns=2)
    sheet = cv2.imread(str(tmp_path / 'x.png'))
    assert sheet.shape == (4 + 3 * 84, 4 + 2 * 84, 3)  # 8 pixels, ten times: 256 in three rows
    assert (sheet[4 + 84, 4 + 84] == pixels[3, 0, 0, ::-1]).all()


@pytest.mark.parametrize('name', ['x.npz', 'x.zip', 'x', 'x.png'])
def test_archive_tells_what_its_images_were_drawn_from(tmp_path, name):
    assert image_archives.read_origin(tmp_path / name) is None
    image_archives.write(tmp_path / name, image_set(origin=dict(seed=3, sampler=dict(sigmas=[80.0])))[1])
    assert image_archives.read_origin(tmp_path / name) == dict(seed=3, sampler=dict(sigmas=[80.0]))


@pytest.mark.parametrize('name', ['x.npz', 'x.zip', 'x.png'])
def test_other_files_tell_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(b'something else')
    assert image_archives.read_origin(tmp_path / name) is None
    np.savez(tmp_path / 'theirs.npz', np.zeros(3))
    assert image_archives.read_origin(tmp_path / 'theirs.npz') is None


def test_archives_larger_than_memory_are_written_block_by_block(tmp_path):
    block = RNG.integers(0, 256, (16, 256, 256, 3), np.uint8)  # 3.1 MB
    images = ImageSet((16 * 40, 256, 256, 3), lambda: (block.copy() for _ in range(40)), None, {})
    tracemalloc.start()
    image_archives.write(tmp_path / 'x.npz', images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / 'x.npz').stat().st_size > 40 * block.nbytes
    assert peak < 3 * block.nbytes


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / 'x.npz').write_text('old')

    def blocks():
        yield np.zeros((1, 8, 8, 3), np.uint8)
        raise OSError(28, 'No space left on device')

    with pytest.raises(InputError, match='No space left on device'):
        image_archives.write(tmp_path / 'x.npz', ImageSet((2, 8, 8, 3), blocks, None, {}))
    assert [path.read_text() for path in tmp_path.iterdir()] == ['old']


@pytest.mark.parametrize(
    'name, message',
    [
        ('x.xyz', 'suffix'),
        ('file/x.npz', 'folder'),
        ('file', 'is a file'),
        ('folder.npz', 'is a folder'),
        ('x.png', 'at most 16384'),
    ],
)
def test_path_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / 'file').write_text('in the way')
    (tmp_path / 'folder.npz').mkdir()
    with pytest.raises(InputError, match=message):
        image_archives.check_path(tmp_path / name, (16385, 8, 8, 1))
