import struct
import zipfile
import zlib

import pytest

from mmcm.datasets.formats.image_names import (
    LONGEST,
    entry_name,
    is_hidden,
    is_image,
    listed,
    odd_classes,
    plain_path,
    shown,
)
from mmcm.utils.bounded import Unreadable
from mmcm.utils.image_limits import FORMATS, SUFFIXES


@pytest.mark.parametrize(
    'name, path',
    [
        ('a/b.png', 'a/b.png'),
        ('a\\b.png', 'a/b.png'),
        ('./a/./b.png', 'a/b.png'),
        ('/a//b/', 'a/b'),
        ('./', ''),
        ('e\u0301.png', '\u00e9.png'),
    ],
)
def test_path_is_the_same_however_it_is_written(name, path):
    assert plain_path(name) == path


@pytest.mark.parametrize('name', ['../a.png', 'a\\..\\..\\b.png'])
def test_path_that_leads_upwards_is_refused(name):
    with pytest.raises(Unreadable, match='leads out'):
        plain_path(name)


def second_name(text, of):
    content = struct.pack('<BI', 1, zlib.crc32(of)) + text.encode()
    return struct.pack('<HH', 0x7075, len(content)) + content


@pytest.mark.parametrize(
    'raw, flags, extra, name',
    [
        (b'a.png', 0, b'', 'a.png'),
        ('ä.png'.encode(), 0x800, b'', 'ä.png'),
        ('ä.png'.encode(), 0, b'', 'ä.png'),  # the flag is missing
        (b'\x84.png', 0, b'', 'ä.png'),  # code page 437
        (b'\x84.png', 0, second_name('日.png', b'\x84.png'), '日.png'),
        (b'\x84.png', 0, second_name('日.png', b'other'), 'ä.png'),  # of another name: it was renamed
        (b'\x84.png', 0, b'\x75\x70\xff\xff\x01', 'ä.png'),  # cut off
    ],
)
def test_name_of_an_entry_is_what_its_program_meant(raw, flags, extra, name):
    entry = zipfile.ZipInfo(raw.decode('utf-8' if flags else 'cp437'))
    entry.flag_bits, entry.extra = flags, extra
    assert entry_name(entry) == name


@pytest.mark.parametrize(
    'name, hidden',
    [
        ('.x', True),
        ('Thumbs.db', True),
        ('__MACOSX', True),
        ('__macosx', True),
        ('thumbs', False),
        ('@eaDir', True),
        ('a.b', False),
    ],
)
def test_hidden_names(name, hidden):
    assert is_hidden(name) == hidden


def test_each_format_that_is_decoded_has_its_suffixes():
    assert len(FORMATS) == len(set(FORMATS)) and len(SUFFIXES) == len(set(SUFFIXES))
    assert is_image('a.JFIF') and is_image('b.png') and not is_image('png')


def test_long_names_are_shown_in_part():
    assert shown('a' * 200) == 'a' * 200 and shown('a' * 300 + 'b' * 300) == 'a' * 100 + '...' + 'b' * 100
    assert shown('\udcff\n') == '\\udcff\\n'


def test_names_of_classes_that_are_as_expected_are_not_mentioned():
    assert odd_classes(()) == odd_classes(('n01440764', 'n01443537')) == odd_classes(('test',)) == []


def test_names_in_a_line_are_few_and_short():
    assert listed(['a.png', 'b\x1b.png']) == r'a.png, b\x1b.png'
    assert listed(f'{index}.png' for index in range(100)).endswith(', ...')
    assert listed(['x' * LONGEST]) == 'x' * LONGEST
    assert len(listed(['x' * 10000])) == LONGEST + len('...')
