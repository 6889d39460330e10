"""Pack file: an npz file that grows row by row, with a journal beside it, in disk space reserved beforehand.

The rows lie in the file itself, not in a `BlockStore`: a pack needs its size on the disk once, not twice.
"""

import errno
import hashlib
import io
import json
import math
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
from mmcm.utils.block_store import Journal
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove, remove_leftovers
from mmcm.utils.locks import locked
from mmcm.utils.npz import SUFFIX

START = 4096  # bytes before the first row: a page, so that what is mapped is aligned
ROOM_FOR_NOTES = 2**20  # bytes
READ_AT_ONCE = 2**24  # bytes
NPY_START = b'\x93NUMPY\x01\x00'  # magic string, version 1.0


class PackFile:
    """An unfinished pack: a hidden file beside `out` with the rows in their final places, and a journal of the rows.

    Args:
        out (Path): The path of the finished pack.
        shape (Sequence[int]): (H, W, C) of a row.
        num_rows (int): Maximum number of rows.
        request (dict): Plain values that identify the pack.

    Attributes:
        state (dict): The journal of a killed run: `rows`, and the arguments of `save`.

    Raises:
        InputError: If the file cannot be written, has no room, belongs to another process or to another request.
    """

    def __init__(self, out: Path, shape: Sequence[int], num_rows: int, request: dict) -> None:
        self.out = out
        self.shape = tuple(shape)
        self.row_size = math.prod(shape)
        self.request = json.loads(json.dumps(request))
        self.part = out.with_name(f'.{out.name}.unfinished')
        journal = out.with_name(f'.{out.name}.unfinished.json')
        advice = f'give the command of that one to finish it, or delete {journal} to start anew'
        self.journal = Journal(journal, 'an unfinished pack', advice, indent=None)
        make_folder(out.absolute().parent)
        with ExitStack() as stack:
            stack.enter_context(locked(self.part, 'being packed', out))
            try:
                self.part.touch()
                self.file = stack.enter_context(self.part.open('r+b', buffering=0))
            except OSError as error:
                raise InputError(f'{self.part} cannot be written: {error.strerror}. Choose another place.') from error
            self.state = self._load()
            self.num_rows = self.state['rows']
            self.most_rows = num_rows
            self.images_sha, self.crc = hashlib.sha256(), zlib.crc32(self._header(num_rows))
            self._reserve(START + num_rows * (self.row_size + 8) + ROOM_FOR_NOTES)
            for block in self._finished():
                self._count(block)
            self.stack = stack.pop_all()

    def __enter__(self) -> 'PackFile':
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()

    def append(self, rows: np.ndarray) -> None:
        """Write `rows`, uint8 (B, H, W, C), behind the others."""
        block = rows.ravel().data  # of bytes, without a copy
        with self._writing():
            system.write_at(self.file, START + self.num_rows * self.row_size, block)
        self._count(block)
        self.num_rows += len(rows)

    def save(self, **state: Any) -> None:
        """Write the number of finished rows and `state` to the journal."""
        with self._writing():
            os.fsync(self.file.fileno())  # else the journal might survive a power cut, and the rows not
            self.journal.write(dict(request=self.request, rows=self.num_rows, **state))

    def finish(self, labels: np.ndarray | None, notes: dict) -> None:
        """Write the zip entries around the rows, and rename the file to `out`.

        Args:
            labels (ndarray, optional): One for each row.
            notes (dict): Plain values for `dataset.json`; digests of images and labels are added.
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
            digests['labels'] = hashlib.sha256(labels.data).hexdigest()
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
                text = json.dumps({**notes, 'sha256': digests}, indent=1, sort_keys=True)
                archive.writestr(zipfile.ZipInfo(NOTES), text)
            os.fsync(self.file.fileno())
            if not system.RENAMES_OPEN_FILES:
                self.file.close()
            self.part.replace(self.out)
            remove(self.journal.path)
            remove_leftovers(self.journal.path)

    def discard(self) -> None:
        """Remove the file and its journal."""
        for path in (self.part, self.journal.path):
            remove(path)

    def _header(self, num_rows: int) -> bytes:
        """Return the npy header of the rows, padded to end with the first page."""
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(num_rows, *self.shape)}, }}".encode()
        size = START - len(_entry(0, 0).FileHeader(zip64=True)) - len(NPY_START) - 2
        return NPY_START + size.to_bytes(2, 'little') + text.ljust(size - 1) + b'\n'

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Remove the file and its journal if writing fails."""
        try:
            yield
        except (OSError, InputError) as error:
            self.discard()
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f'{self.out} cannot be written: {reason}. Make room, or choose another place; nothing '
                'has been left behind.'
            ) from error

    def _load(self) -> dict[str, Any]:
        """Return the journal if it is of this request and the rows exist."""
        state = self.journal.read()
        if state is None:
            return dict(rows=0)
        rows, request = state.get('rows'), state.pop('request', None)
        if type(rows) is not int or not isinstance(request, dict):
            raise self.journal.damaged('it has no rows or no request')
        if START + rows * self.row_size > os.fstat(self.file.fileno()).st_size:
            return dict(rows=0)
        self.journal.check(self.request, request)
        return state

    def _reserve(self, size: int) -> None:
        """Reserve `size` bytes of the disk."""
        with self._writing():
            found = START + self.num_rows * self.row_size
            self.file.truncate(found)
            if system.reserve(self.file, size):
                return
            if shutil.disk_usage(self.out.absolute().parent).free < size - found:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.truncate(size)

    def _count(self, block: bytes | memoryview) -> None:
        """Add rows to the digest and the checksum."""
        self.images_sha.update(block)
        self.crc = zlib.crc32(block, self.crc)

    def _finished(self) -> Iterator[bytes]:
        """Yield the bytes of the finished rows."""
        offset, end = START, START + self.num_rows * self.row_size
        while offset < end:
            block = system.read_at(self.file, offset, min(READ_AT_ONCE, end - offset))
            yield block
            offset += len(block)


def _entry(crc: int, size: int) -> zipfile.ZipInfo:
    """Return the zip entry of the images, the first one, of `size` bytes with the npy header."""
    info = zipfile.ZipInfo(IMAGES + SUFFIX)
    info.CRC = crc
    info.file_size = info.compress_size = size
    info.header_offset = 0
    return info
