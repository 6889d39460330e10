"""npz files: arrays that are mapped from the disk if they are stored without compression.

An npz file is a zip (PKWARE's APPNOTE.TXT) of npy files (`numpy.lib.format`). A stored array lies in it as in a file of
its own, at an offset that follows from the zip. `numpy.load` maps no array inside an npz.
"""

import io
import mmap
import sys
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mmcm.utils.bounded import JSON_BYTES, Unreadable, check_readable, data_start, open_directory, read_entry
from mmcm.utils.errors import InputError
from mmcm.utils.stand_ins import stand_in

SUFFIX = '.npy'
MAX_DIMS = 32  # of NumPy 1
REPAIR = 'Copy it again, or write it anew, by mmcm pack or numpy.savez.'
HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # which differs in names of fields alone, beyond Latin-1
}
# Without it, as in numpy.memmap, Linux counts a private mapping as memory, and refuses one larger than the memory;
# Python names it since 3.13.
NO_RESERVE = getattr(mmap, 'MAP_NORESERVE', 0x4000 if sys.platform == 'linux' else 0)
NPY_HEADER_BYTES = 2**14  # numpy reads up to 10 000 of them


class Layout(NamedTuple):
    """Declarations in the header of an npy file.

    Attributes:
        shape (tuple[int, ...]): Shape of the array.
        order (str): 'F' if the array is stored by columns, else 'C'.
        dtype (dtype): Type of its values.
        offset (int): Bytes in front of the values.
        size (int): Bytes of the values.
    """

    shape: tuple[int, ...]
    order: Literal['C', 'F']
    dtype: np.dtype
    offset: int
    size: int


class NpzFile(Mapping):
    """The arrays of an npz file by their names, without `.npy`.

    A stored array is mapped: its values are read from the disk when they are used, and what is written into it is never
    written to the file. Its checksum is not verified. A compressed array is read whole each time it is accessed.

    Args:
        path (str | Path): The file.

    Raises:
        InputError: If the file cannot be read or is no npz; on access, if there is no array of that name, or it is
            damaged or holds Python objects, which are never unpickled.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.entries = {entry.filename: entry for entry in open_directory(self.path)}
        except OSError as error:
            raise InputError(f'{self.path} cannot be read: {error.strerror or error}.') from error
        except Unreadable as error:
            raise InputError(
                f'{self.path} is no npz file, or not a whole one ({stand_in(self.path) or error}). {REPAIR}'
            ) from error

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the array `name`."""
        entry = self.entries.get(name + SUFFIX)
        if entry is None:
            raise InputError(f'{self.path} holds no array {name}, but {", ".join(self) or "none at all"}.')
        try:
            return self._array(entry)
        except OSError as error:
            raise InputError(f'{self.path} cannot be read: {error.strerror or error}.') from error
        except _Objects as error:
            raise InputError(
                f'{name} in {self.path} holds Python objects, which are not read: an array of numbers '
                'is expected, and arrays of different shapes do not make one.'
            ) from error
        except Unreadable as error:
            raise InputError(f'{name} in {self.path} is no whole array ({error}). {REPAIR}') from error

    def __contains__(self, name: object) -> bool:
        return f'{name}{SUFFIX}' in self.entries

    def __iter__(self) -> Iterator[str]:
        return (name[: -len(SUFFIX)] for name in self.entries if name.endswith(SUFFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def read(self, name: str, most: int = JSON_BYTES) -> bytes:
        """Return the content of the zip entry `name`, with its suffix.

        Raises:
            InputError: If there is no such entry, it is damaged, or it has more than `most` bytes.
        """
        if name not in self.entries:
            raise InputError(f'{self.path} has no entry {name}, but {", ".join(self.entries) or "none at all"}.')
        try:
            with self.path.open('rb') as file:
                return bytes(read_entry(file, self.entries[name], most))
        except (OSError, Unreadable) as error:
            raise InputError(f'{name} in {self.path} is damaged ({error}). {REPAIR}') from error

    @cached_property
    def _content(self) -> mmap.mmap:
        """The whole file, mapped copy-on-write."""
        with self.path.open('rb') as file:
            if not hasattr(mmap, 'MAP_PRIVATE'):  # Windows
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE)

    def _array(self, entry: zipfile.ZipInfo) -> np.ndarray:
        check_readable(entry)
        with self.path.open('rb') as file:
            if entry.compress_type != zipfile.ZIP_STORED:
                content = read_entry(file, entry)
                layout = read_layout(content[:NPY_HEADER_BYTES], len(content))
                return np.ndarray(layout.shape, layout.dtype, content, layout.offset, order=layout.order)
            start = data_start(file, entry)
            file.seek(start)
            layout = read_layout(file.read(min(NPY_HEADER_BYTES, entry.file_size)), entry.file_size)
        if not layout.size:
            try:
                return np.empty(layout.shape, layout.dtype)
            except ValueError as error:  # another dimension is too large
                raise Unreadable(f'its header declares too large an array ({error})') from error
        if start + layout.offset + layout.size > len(self._content):
            raise Unreadable('the file ends before it does')
        return np.ndarray(layout.shape, layout.dtype, self._content, start + layout.offset, order=layout.order)


class _Objects(Unreadable):
    """Reason: an array holds Python objects."""


def read_layout(start: bytes | bytearray, size: int) -> Layout:
    """Return the declarations in the header of an npy file.

    Args:
        start (bytes | bytearray): The beginning of the file.
        size (int): Bytes of the whole file.

    Raises:
        Unreadable: If there is no header, or the declared array does not fit the file.
    """
    stream = io.BytesIO(start)
    try:
        read_header = HEADER_READERS.get(np.lib.format.read_magic(stream))
        if read_header is None:
            raise Unreadable('it is of an unknown version of the npy format')
        shape, by_columns, dtype = read_header(stream)
    except Unreadable:
        raise
    except Exception as error:  # numpy evaluates the header as a Python literal, which raises anything
        raise Unreadable(f'its header is damaged ({" ".join(str(error).split()) or type(error).__name__})') from error
    if dtype.hasobject:
        raise _Objects('it holds Python objects')
    count = int(np.prod(shape, dtype=object))
    if len(shape) > MAX_DIMS or any(type(length) is not int or length < 0 for length in shape):
        raise Unreadable(f'its header declares {shape if len(shape) <= MAX_DIMS else len(shape)} dimensions')
    if count > 1 and not dtype.itemsize:
        raise Unreadable(f'its header declares {count} values of no size')
    expected, offset = count * dtype.itemsize, stream.tell()
    if offset + expected > size:
        raise Unreadable(f'{expected} bytes are expected, and it has {size - offset}')
    return Layout(shape, 'F' if by_columns else 'C', dtype, offset, expected)


def open_npz(path: str | Path) -> NpzFile:
    """Open an npz file; see NpzFile."""
    return NpzFile(path)
