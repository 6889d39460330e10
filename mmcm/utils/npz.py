"""Arrays in npz files, mapped from the disk where they are stored and not compressed.

An npz file is a zip (PKWARE's APPNOTE.TXT) of npy files (`numpy.lib.format`). What is stored in it lies there as it
would in a file of its own, at an offset that the zip tells.
"""
import mmap
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO, Optional, Union

import numpy as np

from mmcm.utils.errors import InputError

LOCAL_HEADER = struct.Struct('<26xHH')  # of its 30 bytes, the lengths of the name and of the extra field
SUFFIX = '.npy'
REPAIR = 'Copy it again, or write it anew, by mmcm pack or numpy.savez.'
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# Without it, Linux counts the private mapping as memory, and refuses one that is larger than that; Python names it only
# since 3.13.
NO_RESERVE = getattr(mmap, 'MAP_NORESERVE', 0x4000 if sys.platform == 'linux' else 0)
# What a damaged zip, a damaged npy header or damaged compressed data raises.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, NotImplementedError, RuntimeError,
          SyntaxError, TokenError)


class NpzFile(Mapping):
    """The arrays of an npz file by their names, without `.npy`.

    An array that is stored is mapped: its values come from the disk when they are looked at, and what is written into
    it is never written to the file. Its checksum is not looked at. Any other is read whole whenever it is asked for.

    Args:
        path (str | Path): The file.

    Raises:
        InputError: If it cannot be read or is no npz; asking for an array raises it where there is none of that name,
            or it is damaged or holds Python objects, which are never unpickled.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.entries = {entry.filename: entry for entry in archive.infolist()}
        except OSError as error:
            raise InputError(f'{self.path} cannot be read: {error.strerror or error}.') from error
        except DAMAGE as error:
            raise InputError(f'{self.path} is no npz file, or not a whole one ({error}). '
                             f'{REPAIR}') from error

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the array `name`."""
        entry = self.entries.get(name + SUFFIX)
        if entry is None:
            raise InputError(f'{self.path} holds no array {name}, but {", ".join(self) or "none at all"}.')
        try:
            with self.path.open('rb') as file:
                if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
                    mapped = self._mapped(file, entry)
                    if mapped is not None:
                        return mapped
                with zipfile.ZipFile(file) as archive, archive.open(entry) as content:
                    return np.lib.format.read_array(content, allow_pickle=False)
        except OSError as error:
            raise InputError(f'{self.path} cannot be read: {error.strerror or error}.') from error
        except DAMAGE as error:
            if 'allow_pickle' in str(error):
                raise InputError(f'{name} in {self.path} holds Python objects, which are not read: an array of numbers '
                                 'is expected, and arrays of different shapes do not make one.') from error
            raise InputError(f'{name} in {self.path} is no whole array ({error}). {REPAIR}') from error

    def __contains__(self, name: object) -> bool:
        return f'{name}{SUFFIX}' in self.entries

    def __iter__(self) -> Iterator[str]:
        return (name[:-len(SUFFIX)] for name in self.entries if name.endswith(SUFFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def read(self, name: str) -> bytes:
        """Return the entry that is called `name` in the zip, suffix and all.

        Raises:
            InputError: If there is none, or it is damaged.
        """
        if name not in self.entries:
            raise InputError(f'{self.path} has no entry {name}, but {", ".join(self.entries) or "none at all"}.')
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        except (OSError, *DAMAGE) as error:
            raise InputError(f'{name} in {self.path} is damaged ({error}). {REPAIR}') from error

    @cached_property
    def _content(self) -> mmap.mmap:
        """The whole file; what is written into it stays in this process."""
        with self.path.open('rb') as file:
            if not hasattr(mmap, 'MAP_PRIVATE'):  # Windows
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE)

    def _mapped(self, file: BinaryIO, entry: zipfile.ZipInfo) -> Optional[np.ndarray]:
        """Return a stored array, or None if it has to be read in another way."""
        file.seek(entry.header_offset)
        start = entry.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
        file.seek(start)
        read_header = HEADER_READERS.get(np.lib.format.read_magic(file))
        if read_header is None:
            return None
        shape, by_columns, dtype = read_header(file)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if dtype.hasobject or size == 0:
            return None
        offset = file.tell()
        if offset + size > start + entry.file_size:
            raise ValueError(f'{offset + size - start} bytes are expected, and it has {entry.file_size}')
        return np.ndarray(shape, dtype, self._content, offset, order='F' if by_columns else 'C')


def open_npz(path: Union[str, Path]) -> NpzFile:
    """Open an npz file; see NpzFile."""
    return NpzFile(path)
