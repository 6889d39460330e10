"""The npz file that a pack becomes, while it grows: rows in order, a journal beside it, the room taken beforehand."""

import errno
import hashlib
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmcm.datasets.image_pack import IMAGES, LABELS, NOTES
from mmcm.utils import system
from mmcm.utils.bounded import read_json
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove, remove_leftovers, write_bytes
from mmcm.utils.npz import SUFFIX

START = 4096  # bytes before the first row: a page, so that what is mapped is aligned
ROOM_FOR_NOTES = 2**20  # bytes
READ_AT_ONCE = 2**24  # bytes
NPY_START = b'\x93NUMPY\x01\x00'  # magic string, version 1.0


class PackFile:
    """An unfinished pack: a hidden file beside `out`, in which the rows stand where they will stand in the end, and a
    journal of how many of them are finished.

    Args:
        out (Path): Where the pack is to be.
        shape (Sequence[int]): (H, W, C) of a row.
        num_rows (int): At most so many rows.
        request (dict): What tells this pack from all others, in plain values.

    Attributes:
        state (dict): What the journal had of a run that was killed: `rows`, and what `save` was given.

    Raises:
        InputError: If it cannot be written, has no room, is another process's, or was begun by another request.
    """

    def __init__(self, out: Path, shape: Sequence[int], num_rows: int, request: dict) -> None:
        self.out = out
        self.shape = tuple(shape)
        self.row_size = int(np.prod(shape))
        self.request = json.loads(json.dumps(request))
        self.part = out.with_name(f'.{out.name}.unfinished')
        self.journal = out.with_name(f'.{out.name}.unfinished.json')
        make_folder(out.absolute().parent)
        try:
            self.part.touch()
            self.file = self.part.open('r+b', buffering=0)
        except OSError as error:
            raise InputError(f'{self.part} cannot be written: {error.strerror}. Choose another place.') from error
        self.stack = ExitStack()
        self.stack.callback(self.file.close)
        try:
            try:
                self.stack.enter_context(system.held(self.file, self.part))
            except OSError as error:
                raise self._taken() from error
            # Another process may have finished between opening and locking: then this is no unfinished pack any more.
            if not (self.part.exists() and os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.part))):
                raise self._taken()
            self.state = self._load()
            self.num_rows = self.state['rows']
            self.most_rows = num_rows
            self.images_sha, self.crc = hashlib.sha256(), zlib.crc32(self._header(num_rows))
            self._reserve(START + num_rows * (self.row_size + 8) + ROOM_FOR_NOTES)
            for block in self._finished():
                self._count(block)
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self) -> 'PackFile':
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    def append(self, rows: np.ndarray) -> None:
        """Write `rows`, uint8 (B, H, W, C), behind the others."""
        block = memoryview(rows.ravel())  # of bytes
        with self._writing():
            system.write_at(self.file, START + self.num_rows * self.row_size, block)
        self._count(block)
        self.num_rows += len(rows)

    def save(self, **state: Any) -> None:
        """Note that the rows up to here are finished, and `state` with them."""
        with self._writing():
            os.fsync(self.file.fileno())  # or the journal might outlive a power cut, and the rows not
            write_bytes(self.journal, json.dumps(dict(request=self.request, rows=self.num_rows, **state)).encode())

    def finish(self, labels: np.ndarray | None, notes: dict) -> None:
        """Write what goes around the rows, and give the file its name.

        Args:
            labels (ndarray, optional): One for each row.
            notes (dict): What the file is to say of itself, in plain values; digests of images and labels are added.
        """
        header = self._header(self.num_rows)
        if self.num_rows < self.most_rows:
            self.crc = zlib.crc32(header)
            for block in self._finished():
                self.crc = zlib.crc32(block, self.crc)
        info = _entry(self.crc, len(header) + self.num_rows * self.row_size)
        digests = dict(images=self.images_sha.hexdigest())
        if labels is not None:
            labels = np.asarray(labels, '<i8')
            digests['labels'] = hashlib.sha256(labels).hexdigest()
        with self._writing():
            system.write_at(self.file, 0, info.FileHeader(zip64=True) + header)
            self.file.truncate(START + self.num_rows * self.row_size)
            self.file.seek(0, os.SEEK_END)
            with zipfile.ZipFile(self.file, 'w') as archive:  # which begins where the file is at
                archive.filelist.append(info)
                if labels is not None:
                    content = io.BytesIO()
                    np.lib.format.write_array(content, labels, version=(1, 0))
                    archive.writestr(zipfile.ZipInfo(LABELS + SUFFIX), content.getvalue())
                notes = json.dumps({**notes, 'sha256': digests}, indent=1, sort_keys=True)
                archive.writestr(zipfile.ZipInfo(NOTES), notes)
            os.fsync(self.file.fileno())
            if not system.RENAMES_OPEN_FILES:
                self.file.close()
            self.part.replace(self.out)
            remove(self.journal)
            remove_leftovers(self.journal)

    def discard(self) -> None:
        """Remove what is there."""
        for path in (self.part, self.journal):
            remove(path)

    def _header(self, num_rows: int) -> bytes:
        """Return the npy header of the rows, made so long that it ends with the first page."""
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(num_rows, *self.shape)}, }}".encode()
        size = START - len(_entry(0, 0).FileHeader(zip64=True)) - len(NPY_START) - 2
        return NPY_START + size.to_bytes(2, 'little') + text.ljust(size - 1) + b'\n'

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Remove what is there if writing fails."""
        try:
            yield
        except (OSError, InputError) as error:
            self.discard()
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f'{self.out} cannot be written: {reason}. Make room, or choose another place; nothing '
                'has been left behind.'
            ) from error

    def _taken(self) -> InputError:
        return InputError(f'{self.out} is being packed by another process: wait for it, or choose another name.')

    def _load(self) -> dict:
        """Return what the journal has, if it is of this request and the rows are there."""
        nothing = dict(rows=0)
        try:
            state = dict(read_json(self.journal))
            found = state.pop('request')
            rows = int(state['rows'])
        except FileNotFoundError:
            return nothing
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f'{self.journal} is damaged: delete it to start anew.') from error
        if START + rows * self.row_size > os.fstat(self.file.fileno()).st_size:
            return nothing
        others = [key for key in {*found, *self.request} if found.get(key) != self.request.get(key)]
        if others:
            raise InputError(
                f'{self.part} is an unfinished pack of another source, or of other settings '
                f'({", ".join(sorted(others))}): give the command of that one to finish it, or delete '
                f'{self.journal} to start anew.'
            )
        return state

    def _reserve(self, size: int) -> None:
        """Take `size` bytes of the disk."""
        with self._writing():
            found = START + self.num_rows * self.row_size
            self.file.truncate(found)
            if system.reserve(self.file, size):
                return
            if shutil.disk_usage(self.out.absolute().parent).free < size - found:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.truncate(size)

    def _count(self, block: bytes) -> None:
        self.images_sha.update(block)
        self.crc = zlib.crc32(block, self.crc)

    def _finished(self) -> Iterator[bytes]:
        """Yield the rows that are finished already."""
        offset, end = START, START + self.num_rows * self.row_size
        while offset < end:
            block = system.read_at(self.file, offset, min(READ_AT_ONCE, end - offset))
            yield block
            offset += len(block)


def _entry(crc: int, size: int) -> zipfile.ZipInfo:
    """Return what the zip says of the images, which are its first entry, of `size` bytes with the npy header."""
    info = zipfile.ZipInfo(IMAGES + SUFFIX)
    info.CRC = crc
    info.file_size = info.compress_size = size
    info.header_offset = 0
    return info
