"""Zip files as other programs write them: names, flags, entries of folders and records after the data."""

import struct
import unicodedata
import zlib
from typing import NamedTuple

UTF8, DESCRIPTOR = 0x800, 8  # flags
FAT, UNIX = 0, 3  # what an entry was made on


class Program(NamedTuple):
    """How a program writes an entry: the bytes of its name, flags, the system, extra fields, and whether in zip64."""

    name: object = str.encode
    flags: int = 0
    system: int = UNIX
    extra: object = lambda name: b''
    folders: bool = True
    zip64: bool = False
    litter: tuple = ()


def backslashes(name):
    return name.replace('/', '\\').encode()


def dotted(name):
    return f'./{name}'.encode()


def decomposed(name):
    return unicodedata.normalize('NFD', name).encode()


def code_page(name):
    return name.encode('cp437', 'replace')


def unicode_path(name):
    content = struct.pack('<BI', 1, zlib.crc32(code_page(name))) + name.encode()
    return struct.pack('<HH', 0x7075, len(content)) + content


PROGRAMS = {
    'PowerShell 5': Program(backslashes, UTF8, FAT, folders=False),
    '.NET 4, folders': Program(backslashes, UTF8, FAT),
    'Finder': Program(
        decomposed,
        DESCRIPTOR,
        litter=('__MACOSX/._apple', '__MACOSX/apple/._0.png', '.DS_Store'),
        extra=lambda name: struct.pack('<HHII', 0x5855, 8, 0, 0),
    ),
    'bsdtar': Program(dotted, UTF8 | DESCRIPTOR),
    '7-Zip': Program(code_page, 0, FAT, extra=lambda name: struct.pack('<HHI28x', 0x000A, 32, 0)),
    'Info-ZIP': Program(code_page, extra=unicode_path),
    'Python, zip64': Program(flags=UTF8, zip64=True, folders=False),
}


def zipped_by(program, files, folders=()):
    """Return the content of a zip file of `files`, a dictionary of names and contents, and of empty `folders`."""
    names = {f'{name}/': b'' for name in folders}
    if program.folders:
        parts = [name.split('/')[:-1] for name in files]
        names |= {'/'.join(part[:end]) + '/': b'' for part in parts for end in range(1, len(part) + 1)}
    local, central = b'', b''
    for name, content in {**names, **dict.fromkeys(program.litter, b'x'), **files}.items():
        raw, extra = program.name(name), program.extra(name)
        sizes = (len(content), len(content))
        offset = len(local)
        if program.zip64:
            extra += struct.pack('<HHQQ', 1, 16, *sizes)
            sizes = (2**32 - 1,) * 2
        later = program.flags & DESCRIPTOR and content
        facts = (zlib.crc32(content), *sizes)
        flags = program.flags if content else program.flags & ~DESCRIPTOR
        local += (
            struct.pack(
                '<4s5H3I2H', b'PK\3\4', 45, flags, 0, 0, 33, *((0, 0, 0) if later else facts), len(raw), len(extra)
            )
            + raw
            + extra
            + content
        )
        if later:
            local += struct.pack('<4s3I', b'PK\7\x08', *facts)
        attributes = 0x10 * name.endswith('/') if program.system == FAT else 0o100644 << 16
        central += (
            struct.pack(
                '<4sBB5H3I5H2I',
                b'PK\1\2',
                45,
                program.system,
                45,
                flags,
                0,
                0,
                33,
                *facts,
                len(raw),
                len(extra),
                0,
                0,
                0,
                attributes,
                offset,
            )
            + raw
            + extra
        )
    number = central.count(b'PK\1\2')
    return local + central + struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, number, number, len(central), len(local), 0)
