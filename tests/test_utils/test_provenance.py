import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcm.datasets.transforms.load_image import read_header
from mmcm.utils.bounded import Unreadable
from mmcm.utils.image_limits import TEXT_CHUNK_BYTES
from mmcm.utils.images import write_image
from mmcm.utils.provenance import KEY, read_png, record_of, shown_source, text_of, with_record

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def chunk(kind, data):
    return len(data).to_bytes(4, 'big') + kind + data + zlib.crc32(kind + data).to_bytes(4, 'big')


def test_record_is_read_back_and_all_other_bytes_stay(tmp_path):
    write_image(tmp_path / 'plain.png', PIXELS)
    record = record_of('figure', command='test', path=Path('x'), wide='£\n')
    write_image(tmp_path / 'made.png', PIXELS, record)
    plain, made = ((tmp_path / name).read_bytes() for name in ('plain.png', 'made.png'))
    text = chunk(b'tEXt', KEY.encode() + b'\0' + text_of(record).encode())
    assert made == plain[:33] + text + plain[33:]
    assert read_png(tmp_path / 'made.png') == record
    assert (cv2.imread(str(tmp_path / 'made.png'))[..., ::-1] == PIXELS).all()
    assert read_header(made).common  # OpenCV still decodes it when it is trained on


def test_other_formats_have_no_record(tmp_path):
    for suffix in ('.jpg', '.bmp', '.webp'):
        write_image(tmp_path / f'a{suffix}', PIXELS)
        write_image(tmp_path / f'b{suffix}', PIXELS, record_of('figure'))
        assert (tmp_path / f'a{suffix}').read_bytes() == (tmp_path / f'b{suffix}').read_bytes()


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (KEY.encode() + b'\0' + b'[' * 100 + b']' * 100, 'nests 100 deep'),
        (KEY.encode() + b'\0' + b'"' + b'x' * TEXT_CHUNK_BYTES + b'"', 'more than 65536'),
        (KEY.encode() + b'\0' + b'{"format": 1', 'no JSON'),
        (KEY.encode() + b'\0' + b'\xff\xfe{', 'no JSON'),
        (b'Comment\0{}', 'no record'),
    ],
)
def test_texts_that_are_no_records_are_refused(tmp_path, data, reason):
    write_image(tmp_path / 'x.png', PIXELS)
    content = (tmp_path / 'x.png').read_bytes()
    (tmp_path / 'x.png').write_bytes(content[:33] + chunk(b'tEXt', data) + content[33:])
    with pytest.raises(Unreadable, match=reason):
        read_png(tmp_path / 'x.png')


@pytest.mark.parametrize(
    'content', [b'', b'no PNG', b'\x89PNG\r\n\x1a\n' + b'\xff\xff\xff\xfftEXt' + KEY.encode() + b'\0{}']
)
def test_files_that_are_no_whole_png_are_refused(tmp_path, content):
    (tmp_path / 'x.png').write_bytes(content)
    with pytest.raises(Unreadable):
        read_png(tmp_path / 'x.png')


@pytest.mark.parametrize(
    ('source', 'shown'),
    [
        ('digits', 'digits'),
        ('work_dirs/mine', 'work_dirs/mine'),
        ('/home/me/secret/net.pth', 'net.pth'),
        (Path('/home/me/run'), 'run'),
        ('~/net.pth', 'net.pth'),
        ('../me/net.pth', 'net.pth'),
        ('https://me:password@host/net.pth?token=1', 'https://host/net.pth'),
        (dict(type='X'), None),
    ],
)
def test_names_of_models_are_recorded_without_folders_and_passwords(source, shown):
    assert shown_source(source) == shown


def test_record_names_neither_time_nor_place():
    first, second = record_of('figure', command='x'), record_of('figure', command='x')
    assert json.dumps(first) == json.dumps(second) and str(Path.cwd()) not in json.dumps(first)
    assert with_record(b'\x89PNG' + bytes(40), first) == with_record(b'\x89PNG' + bytes(40), second)


def test_record_behind_many_chunks_is_not_looked_for(tmp_path, monkeypatch):
    write_image(tmp_path / 'x.png', PIXELS, record_of('figure'))
    assert read_png(tmp_path / 'x.png')['kind'] == 'figure'
    monkeypatch.setattr('mmcm.utils.provenance.MAX_SEGMENTS', 1)
    with pytest.raises(Unreadable, match='no record'):
        read_png(tmp_path / 'x.png')
