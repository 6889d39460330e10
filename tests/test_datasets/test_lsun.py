import hashlib
import io
import multiprocessing
import os
import pickle
import sys

import lmdb
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from mmcm.datasets import LSUN, lsun, stack_samples
from mmcm.datasets.lsun import KEYS_FILE, Database
from mmcm.utils.errors import InputError

PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


def webp(level, size=(6, 4)):
    file = io.BytesIO()
    Image.new('RGB', size, (level,) * 3).save(file, 'WEBP', lossless=True)
    return file.getvalue()


def write_lmdb(folder, values):
    """Write a database as LSUN's are: keys are hexadecimal digests. Returns the keys in their order."""
    with lmdb.open(str(folder), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        keys = [hashlib.sha1(b'%d' % index).hexdigest() for index in range(len(values))]
        for key, value in zip(keys, values):
            transaction.put(key.encode(), value)
    return sorted(keys)


def levels(dataset):
    return [dataset[index]['inputs'].unique().item() for index in range(len(dataset))]


def in_key_order(values):
    keys = {hashlib.sha1(b'%d' % index).hexdigest(): value for index, value in enumerate(values)}
    return [keys[key] for key in sorted(keys)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'home'))
    return tmp_path / 'home'


@pytest.fixture
def bedrooms(tmp_path):
    folder = tmp_path / 'bedroom_train_lmdb'
    write_lmdb(folder, [webp(level) for level in range(50)])
    return folder


def test_images_come_in_the_order_of_the_keys_and_without_classes(bedrooms):
    dataset = LSUN(str(bedrooms), PIPELINE)
    assert levels(dataset) == in_key_order(range(50))
    assert dataset.labels is None and dataset.num_classes is None and dataset[0]['gt_label'] is None
    assert dataset[0]['inputs'].shape == (3, 4, 6)
    first = min(hashlib.sha1(b'%d' % index).hexdigest() for index in range(50))
    assert dataset.source_of(0) == f'{bedrooms}/{first}'


def test_mirror_images_follow(tmp_path):
    image = Image.new('RGB', (2, 1))
    image.putpixel((0, 0), (255, 255, 255))
    file = io.BytesIO()
    image.save(file, 'WEBP', lossless=True)
    write_lmdb(tmp_path / 'cat', [file.getvalue()])
    dataset = LSUN(str(tmp_path / 'cat'), PIPELINE, flip=True)
    assert [sample['inputs'][0].tolist() for sample in dataset] == [[[255, 0]], [[0, 255]]]


@pytest.mark.parametrize('way, workers', [('fork', 2), ('spawn', 1)])  # spawning takes seconds
def test_processes_read_at_once(bedrooms, way, workers):
    dataset = LSUN(str(bedrooms), PIPELINE)
    expected = levels(dataset)  # this process has opened the database, too
    loader = DataLoader(
        dataset,
        4,
        num_workers=workers,
        collate_fn=stack_samples,
        multiprocessing_context=multiprocessing.get_context(way),
    )
    assert torch.cat([batch['inputs'][:, 0, 0, 0] for batch in loader]).tolist() == expected
    assert levels(dataset) == expected


def test_each_process_opens_the_database_for_itself(bedrooms, monkeypatch):
    dataset, opened, real = LSUN(str(bedrooms), PIPELINE), [], lmdb.open
    expected = levels(dataset)
    monkeypatch.setattr(lmdb, 'open', lambda *args, **options: opened.append(args) or real(*args, **options))
    assert levels(dataset) == expected and not opened
    monkeypatch.setattr(os, 'getpid', lambda: -1)  # as after a fork
    assert levels(dataset) == expected and len(opened) == 1


def test_two_data_sets_may_read_one_database(bedrooms):
    first, second = LSUN(str(bedrooms), PIPELINE), LSUN(f'{bedrooms}/../bedroom_train_lmdb', PIPELINE)
    assert levels(first) == levels(second)
    del first
    assert levels(second) == in_key_order(range(50))


def test_pickled_data_set_reads_on(bedrooms):
    dataset = LSUN(str(bedrooms), PIPELINE)
    assert levels(pickle.loads(pickle.dumps(dataset))) == levels(dataset)


def test_keys_are_listed_once(bedrooms, monkeypatch):
    first = LSUN(str(bedrooms), PIPELINE)
    assert (bedrooms / KEYS_FILE).is_file()
    monkeypatch.setattr(Database, '_environment', None)
    assert list(LSUN(str(bedrooms), PIPELINE).keys) == list(first.keys)


def test_keys_are_kept_elsewhere_where_the_folder_cannot_be_written_to(bedrooms, cache, monkeypatch):
    real = lsun.appearing

    def read_only(path):
        if path.parent == bedrooms:
            raise InputError(f'{path} cannot be written: Read-only file system.')
        return real(path)

    monkeypatch.setattr(lsun, 'appearing', read_only)
    first = LSUN(str(bedrooms), PIPELINE)
    assert sorted(path.name for path in bedrooms.iterdir()) == ['data.mdb', 'lock.mdb']
    assert len(list((cache / 'lsun').iterdir())) == 1
    monkeypatch.setattr(Database, '_environment', None)
    assert list(LSUN(str(bedrooms), PIPELINE).keys) == list(first.keys)


@pytest.mark.parametrize('content', [b'', b'no numbers', None])
def test_damaged_list_of_keys_is_made_again(bedrooms, content):
    before = levels(LSUN(str(bedrooms), PIPELINE))
    kept = (bedrooms / KEYS_FILE).read_bytes()
    (bedrooms / KEYS_FILE).write_bytes(kept[: len(kept) // 2] if content is None else content)
    assert levels(LSUN(str(bedrooms), PIPELINE)) == before
    assert (bedrooms / KEYS_FILE).read_bytes() == kept


def test_list_of_keys_of_another_database_does_not_count(bedrooms):
    LSUN(str(bedrooms), PIPELINE)
    write_lmdb(bedrooms, [webp(level) for level in range(60)])
    assert len(LSUN(str(bedrooms), PIPELINE)) == 60


def test_corrupt_image_is_told_by_its_key(tmp_path):
    keys = write_lmdb(tmp_path / 'cat', [webp(9, (200, 200))[:40]])
    with pytest.raises(InputError, match=f'cat/{keys[0]} (cannot be decoded|is no image)'):
        LSUN(str(tmp_path / 'cat'), PIPELINE)[0]


def test_fingerprint_follows_the_images(bedrooms, tmp_path):
    write_lmdb(tmp_path / 'cat', [webp(level) for level in range(49)])
    prints = [
        LSUN(str(root), PIPELINE, flip).fingerprint for root in (bedrooms, tmp_path / 'cat') for flip in (False, True)
    ]
    assert len(set(prints)) == 4 and LSUN(str(bedrooms), PIPELINE).fingerprint == prints[0]


def test_fingerprint_follows_images_whose_keys_and_file_size_stay(tmp_path):
    for name, level in (('x', 1), ('y', 2)):
        write_lmdb(tmp_path / name, [webp(level)] * 5)
    assert (tmp_path / 'x' / 'data.mdb').stat().st_size == (tmp_path / 'y' / 'data.mdb').stat().st_size
    assert len({LSUN(str(tmp_path / name), PIPELINE).fingerprint for name in 'xy'}) == 2


def test_missing_database_is_refused(tmp_path):
    with pytest.raises(InputError, match='nowhere is no folder with a data.mdb.*bedroom_train_lmdb'):
        LSUN(str(tmp_path / 'nowhere'), PIPELINE)
    with pytest.raises(InputError, match='holds no data.mdb.*ImageFolder'):
        LSUN(str(tmp_path), PIPELINE)


def test_empty_database_is_refused(tmp_path):
    write_lmdb(tmp_path / 'cat', [])
    with pytest.raises(InputError, match='cat holds no images'):
        LSUN(str(tmp_path / 'cat'), PIPELINE)


@pytest.mark.parametrize('share', [0, 0.01, 0.5])
def test_truncated_database_is_refused(bedrooms, share):
    path = bedrooms / 'data.mdb'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match='data.mdb cannot be read as an lmdb'):
        LSUN(str(bedrooms), PIPELINE)


def test_missing_package_is_named(bedrooms, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    with pytest.raises(InputError, match=r'pip install -e "\.\[lsun\]"'):
        LSUN(str(bedrooms), PIPELINE)
