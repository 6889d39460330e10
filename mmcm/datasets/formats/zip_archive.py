"""Images in a zip file."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mmcm.datasets.formats.archive import REPAIR, Archive, Level, StoredImages
from mmcm.datasets.formats.image_names import LeftOut, entry_name, is_hidden, is_image, plain_path
from mmcm.datasets.formats.packed_names import PackedNames
from mmcm.utils.bounded import (
    JSON_BYTES,
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    Unreadable,
    check_readable,
    open_directory,
    read_entry,
    unpack,
)
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import MAX_IMAGE_BYTES
from mmcm.utils.system import read_at


class ImageZipFiles(StoredImages):
    """Images in a zip file; in memory, each has its name and five numbers.

    It may be pickled, and used after a fork: reads have explicit offsets, so processes may share the open file.

    Args:
        root (Path): The zip file.
        images (Sequence[tuple[str, ZipInfo]]): Names and entries of the images.
        prefix (str): The folder in the zip file that the names are relative to; '' for the root.
    """

    def __init__(self, root: Path, images: Sequence[tuple[str, zipfile.ZipInfo]], prefix: str = '') -> None:
        entries = [entry for _, entry in images]
        self.root = str(root)
        self.prefix = prefix
        self.names = PackedNames(name.encode(errors='surrogateescape') for name, _ in images)
        self.numbers = np.array(
            [
                (entry.header_offset, entry.compress_size, entry.compress_type, entry.CRC, entry.file_size)
                for entry in entries
            ],
            np.int64,
        ).reshape(-1, 5)
        self._file: BinaryIO | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_file': None}

    def __del__(self) -> None:
        file = getattr(self, '_file', None)  # __init__ may have failed
        if file is not None:
            file.close()

    @property
    def place(self) -> str:
        """Nothing: checksums identify the content, wherever the file lies."""
        return ''

    def source_of(self, position: int) -> str:
        """Return the path of the zip file and the name in it."""
        return f'{self.root}/{self.prefix}{os.fsdecode(self.names[position])}'

    def sample(self, position: int) -> dict:
        """Return `img_bytes`, and `img_path` for messages."""
        return dict(img_path=self.source_of(position), img_bytes=self._read(position))

    def state(self, position: int) -> str:
        """Return the compressed size in bytes and the checksum of an image."""
        return f'{self.numbers[position, 1]} {self.numbers[position, 3]}'

    def _read(self, position: int) -> bytes:
        start, packed, method, crc, size = self.numbers[position].tolist()
        try:
            if self._file is None:
                self._file = Path(self.root).open('rb')  # noqa: SIM115  (open as long as the data set)
            if packed > MAX_IMAGE_BYTES:
                raise Unreadable(f'it has {packed} bytes, more than {MAX_IMAGE_BYTES}')
            signature, *lengths = LOCAL_HEADER.unpack(read_at(self._file, start, LOCAL_HEADER.size))
            content = read_at(self._file, start + LOCAL_HEADER.size + sum(lengths), packed)
            if method == zipfile.ZIP_DEFLATED:
                content = bytes(unpack(io.BytesIO(content), packed, size))
        except (OSError, struct.error, Unreadable) as error:
            raise InputError(f'{self.source_of(position)} cannot be read: {error}. {REPAIR}') from error
        if signature != LOCAL_SIGNATURE or zlib.crc32(content) != crc:
            raise InputError(f'{self.source_of(position)} is damaged: its checksum is another one. {REPAIR}')
        return content


class ZipArchive(Archive):
    """A zip file with images. Names are decoded by `entry_name` and `plain_path`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        found: dict[str, zipfile.ZipInfo] = {}
        self.empty: list[str] = []  # entries of folders, with a '/'
        try:
            for entry in open_directory(root, images=True):
                name = entry_name(entry)
                path = plain_path(name)
                if not path or any(map(is_hidden, path.split('/'))):
                    continue
                if name.endswith(('/', '\\')):
                    self.empty.append(f'{path}/')
                else:
                    self.num_replaced += path in found
                    found[path] = entry
        except (OSError, Unreadable) as error:
            raise InputError(f'{root} cannot be read as a zip file: {error}. {REPAIR}') from error
        # By folder, as in FolderArchive: no name contains the lowest character.
        self.entries = sorted(found.items(), key=lambda item: item[0].replace('/', '\0'))

    def level(self, prefix: str = '') -> Level:
        """See Archive."""
        start = self.prefix + prefix
        paths = chain((path for path, _ in self.entries), self.empty)
        names = [path[len(start) :].partition('/') for path in paths if path.startswith(start) and path != start]
        return Level(
            *(sorted({name for name, slash, _ in names if bool(slash) == is_folder}) for is_folder in (True, False))
        )

    def images(self, folders: Sequence[str] | None = None) -> ImageZipFiles:
        """See Archive."""
        self.left_out = LeftOut()
        ranks = None if folders is None else {folder: rank for rank, folder in enumerate(folders)}
        images = []
        for name, entry in self._inside():
            folder, separated, _ = name.partition('/')
            if ranks is not None and not (separated and folder in ranks):
                continue
            if not is_image(name):
                self.left_out.add(name)
                continue
            self._check_image(name, entry)
            images.append((name, entry))
        if ranks is not None:
            images.sort(key=lambda image: ranks[image[0].partition('/')[0]])
        return ImageZipFiles(self.root, images, self.prefix)

    def image_folders(self) -> Iterator[str]:
        """See Archive."""
        return iter(sorted({name.partition('/')[0] for name, _ in self._inside() if '/' in name and is_image(name)}))

    def read(self, name: str, most: int = JSON_BYTES) -> bytes | None:
        """See Archive."""
        entry = dict(self._inside()).get(name)
        if entry is None:
            return None
        try:
            with self.root.open('rb') as file:
                return bytes(read_entry(file, entry, most))
        except (OSError, Unreadable) as error:
            raise InputError(f'{self.prefix}{name} in {self.root} cannot be read: {error}. {REPAIR}') from error

    def _inside(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """Yield the names and entries of the files in the folder `prefix`, relative to it."""
        return ((path[len(self.prefix) :], entry) for path, entry in self.entries if path.startswith(self.prefix))

    def _check_image(self, name: str, entry: zipfile.ZipInfo) -> None:
        """Raise an InputError if the entry of an image cannot be read."""
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(
                f'{self.prefix}{name} in {self.root} is a link, not an image: pack the images that links '
                'lead to (zip without -y).'
            )
        try:
            check_readable(entry)
        except Unreadable as error:
            raise InputError(
                f'{self.prefix}{name} in {self.root} cannot be read, {error}: pack the images again, '
                'stored or deflated.'
            ) from error
