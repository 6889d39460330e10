import hashlib
import io
import os
import signal

import lmdb
import numpy as np
import pytest
from PIL import Image

from mmcm.apis.data import lsun_export
from mmcm.apis.data.lsun_export import export_lsun
from mmcm.cli.lsun import main
from mmcm.datasets import ImageFolder
from mmcm.datasets.transforms.shorter_side import scale_shorter_side
from mmcm.utils import block_store
from mmcm.utils.errors import InputError

SIDE = 16


def pixels_of(index):
    return np.random.RandomState(index).randint(0, 256, (20, 30 + index, 3)).astype(np.uint8)


def webp(index):
    file = io.BytesIO()
    Image.fromarray(pixels_of(index)).save(file, 'WEBP', lossless=True)
    return file.getvalue()


def key(index):
    return hashlib.sha1(b'%d' % index).hexdigest().encode()


ORDER = sorted(range(12), key=key)  # of the images in the database


@pytest.fixture
def bedrooms(tmp_path, monkeypatch):
    monkeypatch.setattr(lsun_export, 'PER_FOLDER', 5)
    folder = tmp_path / 'bedroom_train_lmdb'
    with lmdb.open(str(folder), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for index in range(12):
            transaction.put(key(index), webp(index))
    return str(folder)


def put(folder, index, content):
    with lmdb.open(folder, map_size=2**24) as environment, environment.begin(write=True) as transaction:
        transaction.put(key(index), content)


def images(out):
    return sorted(path.relative_to(out).as_posix() for path in out.glob('*/*'))


def test_files_are_the_cropped_images_in_the_order_of_the_keys(bedrooms, tmp_path):
    done = export_lsun(bedrooms, tmp_path / 'out', size=SIDE)
    assert done == (12, 0, [])
    names = images(tmp_path / 'out')
    assert names[0] == '00000/00000000.png' and names[-1] == '00002/00000011.png' and len(names) == 12
    for name, index in zip(names, ORDER):
        scaled = scale_shorter_side(pixels_of(index), SIDE)
        left = (scaled.shape[1] - SIDE) // 2
        with Image.open(tmp_path / 'out' / name) as image:
            assert np.array_equal(np.asarray(image), scaled[:, left : left + SIDE])


def test_export_is_an_image_folder(bedrooms, tmp_path):
    export_lsun(bedrooms, tmp_path / 'out', size=SIDE)
    pipeline = [dict(type='LoadImage'), dict(type='PackImage')]
    assert len(ImageFolder(str(tmp_path / 'out'), pipeline, labelled=False)) == 12


def test_original_files_are_the_bytes_of_the_database(bedrooms, tmp_path):
    export_lsun(bedrooms, tmp_path / 'out', 'original', max_images=3)
    found = [(tmp_path / 'out' / name).read_bytes() for name in images(tmp_path / 'out')]
    assert found == [webp(index) for index in ORDER[:3]]


@pytest.mark.parametrize('form, suffix, kind', [('jpeg', '.jpg', 'JPEG'), ('webp', '.webp', 'WEBP')])
def test_other_formats_are_close(bedrooms, tmp_path, form, suffix, kind):
    export_lsun(bedrooms, tmp_path / 'out', form, size=SIDE, quality=100, max_images=1)
    with Image.open(tmp_path / 'out' / '00000' / f'00000000{suffix}') as image:
        assert image.format == kind and image.size == (SIDE, SIDE)


def test_stopped_export_goes_on(bedrooms, tmp_path):
    export_lsun(bedrooms, tmp_path / 'out', size=SIDE, max_images=7)
    before = {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in images(tmp_path / 'out')}
    (tmp_path / 'out' / '00000' / '00000003.png').unlink()
    assert export_lsun(bedrooms, tmp_path / 'out', size=SIDE) == (6, 6, [])
    after = {name: (tmp_path / 'out' / name).stat().st_mtime_ns for name in images(tmp_path / 'out')}
    assert len(after) == 12 and sum(after[name] == before[name] for name in before) == 6


def test_corrupt_images_are_listed_and_left_out(bedrooms, tmp_path):
    put(bedrooms, ORDER[4], webp(ORDER[4])[:60])
    done = export_lsun(bedrooms, tmp_path / 'out', size=SIDE, corrupt='skip')
    assert done.num_written == 11 and '00000/00000004.png' not in images(tmp_path / 'out')
    listed = (tmp_path / 'out' / 'corrupt.txt').read_text().splitlines()
    assert listed == done.corrupt and len(listed) == 1 and key(ORDER[4]).decode() in listed[0]


def test_corrupt_image_stops(bedrooms, tmp_path):
    put(bedrooms, ORDER[4], webp(ORDER[4])[:60])
    with pytest.raises(
        InputError, match=f'{key(ORDER[4]).decode()} cannot be decoded, it is damaged.*--corrupt skip leaves such'
    ):
        export_lsun(bedrooms, tmp_path / 'out', size=SIDE)
    assert len(images(tmp_path / 'out')) == 4


def test_nothing_is_left_where_nothing_was_written(bedrooms, tmp_path, monkeypatch):
    put(bedrooms, ORDER[0], b'no image')
    (tmp_path / 'mine').mkdir()
    for out in ('mine', 'new'):
        with pytest.raises(InputError, match='no image'):
            export_lsun(bedrooms, tmp_path / out, size=SIDE)
    assert not (tmp_path / 'new').exists() and list((tmp_path / 'mine').iterdir()) == []

    def full(path, content):
        raise InputError(f'{path} cannot be written: No space left on device.')

    monkeypatch.setattr(block_store, 'write_bytes', full)
    with pytest.raises(InputError, match='No space left'):
        export_lsun(bedrooms, tmp_path / 'new', size=SIDE, corrupt='skip')
    assert not (tmp_path / 'new').exists()


def test_what_another_run_wrote_is_kept_where_this_one_fails(bedrooms, tmp_path):
    export_lsun(bedrooms, tmp_path / 'out', size=SIDE, max_images=1)
    (tmp_path / 'out' / '00000' / '00000000.png').unlink()
    put(bedrooms, ORDER[0], b'no image')
    for size in (SIDE, SIDE + 1):
        with pytest.raises(InputError):
            export_lsun(bedrooms, tmp_path / 'out', size=size)
    assert (tmp_path / 'out' / 'export.json').exists()


def test_other_settings_do_not_mix(bedrooms, tmp_path):
    export_lsun(bedrooms, tmp_path / 'out', size=SIDE, max_images=2)
    with pytest.raises(
        InputError, match=rf'export.json belongs to an export of another request \(size {SIDE} instead of {SIDE + 1}'
    ):
        export_lsun(bedrooms, tmp_path / 'out', size=SIDE + 1, max_images=2)


@pytest.mark.parametrize('start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_processes_write_the_same(bedrooms, tmp_path, monkeypatch, start):
    monkeypatch.setattr(lsun_export, 'START', start)
    export_lsun(bedrooms, tmp_path / 'one', size=SIDE)
    assert export_lsun(bedrooms, tmp_path / 'two', size=SIDE, workers=2) == (12, 0, [])
    read = [{name: (out / name).read_bytes() for name in images(out)} for out in (tmp_path / 'one', tmp_path / 'two')]
    assert read[0] == read[1] and len(read[0]) == 12


def test_process_that_is_killed_is_told_in_one_line(bedrooms, tmp_path, monkeypatch):
    monkeypatch.setattr(lsun_export, 'START', 'fork')
    monkeypatch.setattr(lsun_export, 'encode', lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match='was killed.*the same command goes on'):
        export_lsun(bedrooms, tmp_path / 'out', size=SIDE, workers=2)


@pytest.mark.parametrize(
    'wrong, match',
    [
        (dict(size=0), 'size .*from 1 to 8192, got 0'),
        (dict(size=8193), 'size .*from 1 to 8192, got 8193'),
        (dict(workers=0), 'workers'),
        (dict(max_images=0), 'max_images'),
        (dict(quality=101), 'quality has to be an integer from 1 to 100, got 101.'),
        (dict(file_format='gif'), "format has to be one of png, jpeg, webp, original, got 'gif'."),
        (dict(corrupt='ignore'), "corrupt has to be one of stop, skip, got 'ignore'."),
    ],
)
def test_settings_that_cannot_be_are_refused(bedrooms, tmp_path, wrong, match):
    with pytest.raises(InputError, match=f'^{match}'):
        export_lsun(bedrooms, tmp_path / 'out', **wrong)
    assert not (tmp_path / 'out').exists()


def test_command_tells_what_it_has_done(bedrooms, tmp_path, capsys):
    put(bedrooms, ORDER[4], b'no image')
    main([bedrooms, str(tmp_path / 'out'), '--size', '16', '--max-images', '5', '--workers', '1', '--corrupt', 'skip'])
    assert capsys.readouterr().out == (
        f'{tmp_path}/out: wrote 4 images, 0 were there\n1 could not be decoded and were '
        f'left out, see {tmp_path}/out/corrupt.txt\n'
    )
    with pytest.raises(SystemExit, match='2'):
        main([str(tmp_path), str(tmp_path / 'other')])
    assert 'holds no data.mdb' in capsys.readouterr().err


def test_files_of_the_user_are_replaced_only_by_force(bedrooms, tmp_path):
    out = tmp_path / 'out'
    (out / '00000').mkdir(parents=True)
    (out / '00000' / '00000000.png').write_bytes(b'mine')
    (out / 'letter').touch()
    with pytest.raises(InputError, match='00000 is a folder that is not empty: give --force'):
        export_lsun(bedrooms, out, size=SIDE)
    assert [path.name for path in out.rglob('*.png')] == ['00000000.png'] and not (out / 'export.json').exists()
    assert export_lsun(bedrooms, out, size=SIDE, force=True).num_written == 12
    with Image.open(out / '00000' / '00000000.png') as image:
        assert image.size == (SIDE, SIDE)
    with pytest.raises(InputError, match='or give --force to replace'):
        export_lsun(bedrooms, out, size=SIDE // 2)
    assert export_lsun(bedrooms, out, size=SIDE // 2, force=True) == (12, 0, [])
    assert export_lsun(bedrooms, out, size=SIDE // 2) == (0, 12, [])
    assert (out / 'letter').exists() and not list(tmp_path.glob('.*'))
