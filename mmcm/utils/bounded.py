"""Bounded readers: files, JSON and zip entries within limits of memory, which `docs/security.md` lists.

An untrusted file may declare any size. These readers check declared sizes against the size of the file before they
allocate, and unpack in pieces. They raise `Unreadable` with a reason; the caller knows the purpose of the file, and
raises an InputError from it.
"""

import errno
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from mmcm.utils.system import open_at_once

MiB = 2**20
PIECE = MiB  # bytes read or unpacked at once
# Compressed data may unpack to 64 MiB, more than a statistics file (33 MB), MNIST (47 MB) or any image needs, or else
# to 20 times their size in the file: images compress by less than 10, zeros by 1000.
UNPACKED_BYTES = 64 * MiB
UNPACKED_RATIO = 20
JSON_BYTES = 16 * MiB  # the largest known JSON file, labels apart, has 200 kB; as a str, a byte may take 4
JSON_VALUES = 10**6  # a value takes up to 240 bytes, a dictionary of one key
MAX_DEPTH = 64  # of containers within containers; known files have up to 10, and hash, == and repr recur as deep
TEXT_BYTES = MiB  # a path, a digest, a list of class names
ENTRIES = 2**16  # of an archive other than a collection of images: a checkpoint has one for each tensor
ENTRY_BYTES = 256  # maximum average size of an entry in the directory
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 1  # flag of an entry of a zip file
LOCAL_HEADER = struct.Struct('<4s22xHH')  # signature, and the lengths of the name and of the extra field
LOCAL_SIGNATURE = b'PK\x03\x04'
UTF8_NAME = 0x800  # flag of an entry whose name is UTF-8, not code page 437
UNICODE_PATH = 0x7075  # the extra field with a second name in UTF-8, behind a version and a checksum
EXTRA_FIELD = struct.Struct('<HH')  # header of an extra field: its kind and its length


class Unreadable(ValueError):
    """Reason why a file, or a part of it, is not read."""


def open_plain(path: str | Path) -> BinaryIO:
    """Open a plain file for reading, or a link to one.

    Raises:
        OSError: If it cannot be opened, or is a pipe or a device, which may have no end or block a reader.
    """
    file = open_at_once(path)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, 'it is no plain file, but a pipe or a device', str(path))
    return file


def read_file(path: str | Path, most: int = TEXT_BYTES, pipes: bool = False) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Args:
        path (str | Path): The file.
        most (int): Maximum number of bytes.
        pipes (bool): Whether it may be a pipe or a device, which only a user's own arguments should name.

    Raises:
        Unreadable: If it has more bytes.
        OSError: If it cannot be read, or is no plain file.
    """
    with Path(path).open('rb') if pipes else open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        pieces = [b'' if size > most else file.read(size + 1)]
        length = len(pieces[0])
        while size < length <= most and (piece := file.read(PIECE)):  # the size of a pipe is 0, and a file may grow
            pieces.append(piece)
            length += len(piece)
    if max(size, length) > most:
        raise Unreadable(f'it has more than {most} bytes')
    return b''.join(pieces)


def read_text(path: str | Path, most: int = TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file of at most `most` bytes; see `read_file`."""
    try:
        return read_file(path, most).decode()
    except UnicodeDecodeError as error:
        raise Unreadable('it is no UTF-8 text') from error


def parse_json(content: bytes | str, most: int = JSON_BYTES, values: int = JSON_VALUES) -> Any:
    """Return the value of a JSON text.

    Args:
        content (bytes | str): The text; bytes are UTF-8.
        most (int): Maximum number of bytes.
        values (int): Maximum number of values, whose objects take more memory than the text.

    Raises:
        Unreadable: If it is no JSON, has more bytes or values, or nests deeper than `MAX_DEPTH`.
    """
    if len(content) > most:
        raise Unreadable(f'its JSON has {len(content)} bytes, more than {most}')
    try:
        if isinstance(content, bytes):
            content = content.decode(json.detect_encoding(content), 'surrogatepass')
    except ValueError as error:
        raise Unreadable(f'it is no JSON ({error})') from error
    # Structure without strings; each removal takes linear time.
    structure = re.sub('"[^"]*"?', '', content.replace('\\\\', '').replace('\\"', ''))
    if sum(map(structure.count, '[{,')) > values:
        raise Unreadable(f'its JSON has more than {values} values')
    depth = deepest = 0
    for bracket in re.findall(r'[\[\]{}]', structure):
        depth += 1 if bracket in '[{' else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise Unreadable(f'its JSON nests {deepest} deep, more than {MAX_DEPTH}')
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f'it is no JSON ({error})') from error


def read_json(path: str | Path, most: int = JSON_BYTES, pipes: bool = False) -> Any:
    """Return the value in a JSON file; see `read_file` and `parse_json`."""
    return parse_json(read_file(path, most, pipes), most)


def check_unpacked(unpacked: int, packed: int) -> None:
    """Raise Unreadable if `packed` compressed bytes may not unpack to `unpacked` bytes."""
    limit = max(UNPACKED_BYTES, UNPACKED_RATIO * packed)
    if unpacked > limit:
        raise Unreadable(
            f'{packed} compressed bytes are to become {unpacked}, more than {limit}; without compression '
            'there is no such limit'
        )


def read_exactly(stream: BinaryIO, size: int) -> bytearray:
    """Return the rest of `stream`, which has to be `size` bytes. It is read in pieces, and one byte further.

    Raises:
        Unreadable: If it is shorter or longer.
    """
    content = bytearray()
    while len(content) <= size and (piece := stream.read(min(PIECE, size + 1 - len(content)))):
        content += piece
    if len(content) != size:
        raise Unreadable(f'{size} bytes are expected, and it has {"more" if len(content) > size else len(content)}')
    return content


def unpack(stream: BinaryIO, packed: int, size: int) -> bytearray:
    """Unpack `packed` bytes of `stream`, raw DEFLATE data, to `size` bytes.

    Raises:
        Unreadable: If the data are damaged, or unpack to fewer or more bytes, or to more than `check_unpacked` allows.
    """
    check_unpacked(size, packed)
    decompressor, content = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
    try:
        while len(content) <= size and not decompressor.eof:
            data = decompressor.unconsumed_tail
            if not data:
                data = stream.read(min(PIECE, packed))
                packed -= len(data)
            piece = decompressor.decompress(data, min(PIECE, size + 1 - len(content)))
            if not data and not piece:
                break  # the stream ends before its data
            content += piece
    except zlib.error as error:
        raise Unreadable(f'its compressed data are damaged ({error})') from error
    if len(content) != size or not decompressor.eof:
        found = f'{len(content)}, and it is not whole' if len(content) <= size else 'more'
        raise Unreadable(f'{size} bytes are expected, and it has {found}')
    return content


def open_directory(path: str | Path, images: bool = False) -> list[zipfile.ZipInfo]:
    """Return the entries of a zip file, each of which lies within the file.

    Args:
        path (str | Path): The file.
        images (bool): Whether any number of entries is allowed, at some 700 bytes of memory each, instead of `ENTRIES`.

    Raises:
        Unreadable: If it is no zip file, its directory is damaged or too large, or an entry has two names.
        OSError: If it cannot be read.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            # Half of the file: an entry has a header of its own beside that in the directory.
            most = max(MiB, size // 2) if images else ENTRIES * ENTRY_BYTES
            with zipfile.ZipFile(_Limited(file, most)) as archive:
                entries = archive.infolist()
    except (OSError, Unreadable):
        raise
    except Exception as error:  # a damaged directory raises anything
        raise Unreadable(f'it is no whole zip file ({error or type(error).__name__})') from error
    if not images and len(entries) > ENTRIES:
        raise Unreadable(f'it has {len(entries)} entries, more than {ENTRIES}')
    for entry in entries:
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > size:
            raise Unreadable(f'its entry {entry.filename!r} goes beyond its end')
        _check_name(entry, images)
    if sum(entry.compress_size for entry in entries) > size:
        raise Unreadable('its entries overlap')
    return entries


def _check_name(entry: zipfile.ZipInfo, images: bool) -> None:
    """Raise Unreadable if an entry has two names.

    Python 3.12 prefers the Unicode path to the name, and torch ignores it. Zip programs write it beside a name in their
    own character set, so an image may have one if its name is not ASCII.
    """
    name, extra = entry.orig_filename, entry.extra
    if not images and entry.filename != name:  # 'a\0b' is cut at NUL, and names change where os.sep is not '/'
        raise Unreadable(f'its entry {name!r} has another name, {entry.filename!r}, too')
    raw = name.encode('utf-8' if entry.flag_bits & UTF8_NAME else 'cp437', 'replace')
    while len(extra) >= EXTRA_FIELD.size:
        kind, length = EXTRA_FIELD.unpack_from(extra)
        data, extra = extra[EXTRA_FIELD.size : EXTRA_FIELD.size + length], extra[EXTRA_FIELD.size + length :]
        if kind == UNICODE_PATH and data[5:] != raw and (name.isascii() or not images):
            raise Unreadable(f'its entry {name!r} has another name, {data[5:].decode(errors="replace")!r}, too')


def read_entry(file: BinaryIO, entry: zipfile.ZipInfo, most: int | None = None) -> bytes | bytearray:
    """Return the content of an entry of a zip file.

    Args:
        file (BinaryIO): The zip file, at any position.
        entry (ZipInfo): The entry, from `open_directory`.
        most (int, optional): Maximum number of bytes.

    Raises:
        Unreadable: If it is damaged, encrypted or larger.
    """
    if most is not None and entry.file_size > most:
        raise Unreadable(f'it has {entry.file_size} bytes, more than {most}')
    check_readable(entry)
    file.seek(data_start(file, entry))
    content: bytes | bytearray
    if entry.compress_type == zipfile.ZIP_STORED:
        content = file.read(min(entry.compress_size, entry.file_size))
        if len(content) != entry.file_size:
            raise Unreadable(f'{entry.file_size} bytes are expected, and it has {len(content)}')
    else:
        content = unpack(file, entry.compress_size, entry.file_size)
    if zlib.crc32(content) != entry.CRC:
        raise Unreadable('its checksum (CRC-32) is another one')
    return content


def check_readable(entry: zipfile.ZipInfo) -> None:
    """Raise Unreadable if an entry is encrypted, or neither stored nor deflated."""
    if entry.compress_type not in METHODS or entry.flag_bits & ENCRYPTED:
        raise Unreadable('it is encrypted, or compressed by other means than deflate')


def data_start(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Return the offset of the data of an entry in `file`; raise Unreadable if its header is damaged."""
    file.seek(entry.header_offset)
    header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(LOCAL_SIGNATURE):
        raise Unreadable(f'there is no entry at byte {entry.header_offset}')
    return entry.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(header)[1:])


class _Limited:
    """A file that reads no more than `most` bytes at once: zipfile reads a directory at once."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.file, self.most = file, most
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = self.most
        if size > self.most:
            raise Unreadable(f'its directory has {size} bytes, more than {self.most}')
        return self.file.read(size)
