import io
import json
import os
import struct
import zipfile
import zlib

import pytest

from mmcm.utils.bounded import (
    ENTRIES,
    JSON_VALUES,
    MAX_DEPTH,
    UNPACKED_BYTES,
    UNPACKED_RATIO,
    Unreadable,
    check_unpacked,
    open_directory,
    open_plain,
    parse_json,
    read_entry,
    read_exactly,
    read_file,
    read_json,
    unpack,
)
from support.named_pipes import written_pipe


@pytest.mark.parametrize(
    'value', [None, 3, 'a', {'a': [1, {'b': '[[{"\\'}], 'ü': '\n\\"]]'}, [[]] * 9, '"', '\\', '\\"']
)
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_json_is_read_as_the_standard_library_does(value, encoding):
    text = json.dumps(value, ensure_ascii=False)
    assert parse_json(text.encode(encoding)) == json.loads(text)


@pytest.mark.parametrize('content', [b'', b'{', b'\xff\xfe\x00', b'"\\', b'"a', b'[1,]', b'{"a": 1e}', b'1' * 9999])
def test_what_is_no_json_is_unreadable(content):
    with pytest.raises(Unreadable, match='it is no JSON'):
        parse_json(content)


def test_depth_of_json_is_bounded():
    def nested(depth):
        return '[' * depth + ']' * depth

    assert parse_json(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))
    assert parse_json(json.dumps(nested(10**5))) == nested(10**5)  # a text
    for depth in (MAX_DEPTH + 1, 10**5):
        with pytest.raises(Unreadable, match=f'nests {depth} deep, more than {MAX_DEPTH}'):
            parse_json(nested(depth))


def test_values_and_bytes_of_json_are_bounded():
    with pytest.raises(Unreadable, match=f'more than {JSON_VALUES} values'):
        parse_json('[' + '1,' * JSON_VALUES + '1]')
    with pytest.raises(Unreadable, match='has 12 bytes, more than 11'):
        parse_json('"' + 'a' * 10 + '"', 11)


def test_json_of_escapes_is_looked_at_in_linear_time():
    # An expression that goes back at each quote would take hours.
    with pytest.raises(Unreadable, match='it is no JSON'):
        parse_json('"' + '\\"' * 10**6)


def test_file_is_read_up_to_a_bound(tmp_path):
    path = tmp_path / 'x'
    path.write_bytes(b'abc')
    assert read_file(path, 3) == b'abc'
    with pytest.raises(Unreadable, match='it has more than 2 bytes'):
        read_file(path, 2)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='named pipes')
@pytest.mark.parametrize('read', [open_plain, read_file, open_directory])
def test_what_is_no_plain_file_is_not_opened(tmp_path, read):
    (tmp_path / 'link').symlink_to('/dev/zero')
    with pytest.raises(OSError, match='it is no plain file, but a pipe or a device'):
        read(tmp_path / 'link')
    with written_pipe(tmp_path / 'pipe', b'abc'), pytest.raises(OSError, match='it is no plain file'):
        read(tmp_path / 'pipe')
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    (tmp_path / 'file').write_bytes(b'abc')
    (tmp_path / 'to_file').symlink_to('file')
    with open_plain(tmp_path / 'to_file') as file:
        assert file.read() == b'abc'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='named pipes')
def test_pipe_that_a_user_names_is_read(tmp_path):
    content = json.dumps('a' * 3_000_000).encode()
    with written_pipe(tmp_path / 'pipe', content):
        assert read_json(tmp_path / 'pipe', pipes=True) == 'a' * 3_000_000
    with written_pipe(tmp_path / 'pipe', content), pytest.raises(Unreadable, match='more than 2000000 bytes'):
        read_file(tmp_path / 'pipe', 2_000_000, pipes=True)


def test_no_more_is_taken_from_a_stream_than_is_expected():
    class Zeros(io.RawIOBase):
        taken = 0

        def read(self, size):
            self.taken += size
            return bytes(size)

    stream = Zeros()
    with pytest.raises(Unreadable, match='5000000 bytes are expected, and it has more'):
        read_exactly(stream, 5_000_000)
    assert stream.taken == 5_000_001
    with pytest.raises(Unreadable, match='4 bytes are expected, and it has 3'):
        read_exactly(io.BytesIO(b'abc'), 4)


def deflated(content):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize('size', [0, 1, 2**20 - 1, 2**20, 3 * 2**20 + 7])
def test_compressed_data_become_what_they_were(size):
    content = bytes(range(256)) * (size // 256) + b'x' * (size % 256)
    packed = deflated(content)
    assert unpack(io.BytesIO(packed + b'behind'), len(packed), size) == content


def test_compressed_data_of_another_size_are_unreadable():
    packed = deflated(b'a' * 1000)
    with pytest.raises(Unreadable, match='999 bytes are expected, and it has more'):
        unpack(io.BytesIO(packed), len(packed), 999)
    with pytest.raises(Unreadable, match='1001 bytes are expected, and it has 1000'):
        unpack(io.BytesIO(packed), len(packed), 1001)
    with pytest.raises(Unreadable, match='not whole'):
        unpack(io.BytesIO(packed), len(packed) - 1, 1000)


def test_compression_beyond_that_of_images_is_refused_for_large_files_alone():
    check_unpacked(UNPACKED_BYTES, 1)
    check_unpacked(UNPACKED_RATIO * 2**30, 2**30)
    with pytest.raises(Unreadable, match='without compression there is no such limit'):
        check_unpacked(UNPACKED_RATIO * 2**30 + 1, 2**30)


def write_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entry_of_a_zip_is_read(tmp_path, method):
    path = write_zip(tmp_path / 'x.zip', dict(a=b'abc' * 99, b=b''), method)
    with path.open('rb') as file:
        assert [bytes(read_entry(file, entry)) for entry in open_directory(path)] == [b'abc' * 99, b'']
        with pytest.raises(Unreadable, match='it has 297 bytes, more than 296'):
            read_entry(file, open_directory(path)[0], 296)


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path, method):
    path = write_zip(tmp_path / 'x.zip', dict(a=b'abc'), method)
    with path.open('rb') as file, pytest.raises(Unreadable, match='other means than deflate'):
        read_entry(file, open_directory(path)[0])


def test_changed_entry_is_unreadable(tmp_path):
    path = write_zip(tmp_path / 'x.zip', dict(a=b'abc'), zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b'abc', b'abd', 1))
    with path.open('rb') as file, pytest.raises(Unreadable, match='its checksum'):
        read_entry(file, open_directory(path)[0])


def test_entries_that_overlap_are_refused(tmp_path):
    path = write_zip(tmp_path / 'x.zip', dict(a=bytes(1000)), zipfile.ZIP_STORED)
    content = path.read_bytes()
    start = content.index(b'PK\x01\x02')
    entry, end = content[start:-22], content[-22:]
    many = entry * 9
    end = end[:8] + struct.pack('<HHLL', 9, 9, len(many), start) + end[20:]
    path.write_bytes(content[:start] + many + end)
    with pytest.raises(Unreadable, match='its entries overlap'):
        open_directory(path)


def test_number_of_entries_is_bounded(tmp_path):
    path = write_zip(tmp_path / 'x.zip', {str(number): bytes(40) for number in range(ENTRIES + 1)}, zipfile.ZIP_STORED)
    with pytest.raises(Unreadable, match=f'more than {ENTRIES}'):
        open_directory(path)
    assert len(open_directory(path, images=True)) == ENTRIES + 1


@pytest.mark.parametrize('content', [b'', b'PK', b'PK\x05\x06' + bytes(17), b'x' * 99])
def test_what_is_no_zip_is_unreadable(tmp_path, content):
    (tmp_path / 'x.zip').write_bytes(content)
    with pytest.raises(Unreadable, match='no whole zip file'):
        open_directory(tmp_path / 'x.zip')


def with_unicode_path(path, name, second):
    entry = zipfile.ZipInfo(name)
    field = b'\x01' + zlib.crc32(entry._encodeFilenameFlags()[0]).to_bytes(4, 'little') + second.encode()
    entry.extra = struct.pack('<HHHH', 0x9999, 0, 0x7075, len(field)) + field
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(entry, b'abc')
    return path


@pytest.mark.parametrize('images', [False, True])
def test_entry_with_another_name_in_its_unicode_path_is_refused(tmp_path, images):
    """Whether or not this version of zipfile follows that field."""
    path = with_unicode_path(tmp_path / 'x.zip', 'a.png', 'b.png')
    with pytest.raises(Unreadable, match=r"has another name, '\w.png', too"):
        open_directory(path, images)
    assert [
        entry.filename for entry in open_directory(with_unicode_path(tmp_path / 'x.zip', 'a.png', 'a.png'), images)
    ] == ['a.png']


def test_unicode_path_of_an_image_may_replace_a_name_in_a_character_set_of_its_own(tmp_path):
    path = with_unicode_path(tmp_path / 'x.zip', 'ü.png', 'u.png')
    assert len(open_directory(path, images=True)) == 1
    with pytest.raises(Unreadable, match='has another name'):
        open_directory(path)


def test_name_that_is_cut_at_nul_is_refused(tmp_path):
    path = write_zip(tmp_path / 'x.zip', {'aXb': b'abc'})
    path.write_bytes(path.read_bytes().replace(b'aXb', b'a\0b'))
    with pytest.raises(Unreadable, match='has another name'):
        open_directory(path)
