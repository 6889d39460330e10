"""Where image files lie: in a folder, or in a zip file. Names are relative to it, with '/', in both."""
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional, Union

import numpy as np

from mmcm.datasets.packed_names import PackedNames
from mmcm.utils.bounded import (
    JSON_BYTES,
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    Unreadable,
    check_readable,
    open_directory,
    read_entry,
    read_file,
    unpack,
)
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import MAX_IMAGE_BYTES
from mmcm.utils.system import read_at

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.gif', '.webp', '.tif', '.tiff')
REPAIR = 'Copy it or make it again.'


class ImageFolderFiles:
    """Images in a folder.

    Args:
        root (Path): The folder.
        names (Iterable[str]): The images.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = str(root)
        self.names = PackedNames(map(os.fsencode, names))

    @property
    def place(self) -> str:
        """What has to be known beside `state`: sizes and times alone may agree where archives were unpacked."""
        return os.path.abspath(self.root)

    def source_of(self, position: int) -> str:
        """Return the path of an image."""
        return os.path.join(self.root, os.fsdecode(self.names[position]))

    def sample(self, position: int) -> dict:
        """Return what `LoadImage` takes of an image: `img_path`."""
        return dict(img_path=self.source_of(position))

    def state(self, position: int) -> str:
        """Return what changes when an image does: its size in bytes and the time of its last change."""
        try:
            status = os.stat(self.source_of(position))
        except OSError as error:
            raise InputError(f'{self.source_of(position)} cannot be read: {error.strerror}.') from error
        return f'{status.st_size} {status.st_mtime_ns}'


class ImageZipFiles:
    """Images in a zip file; of each, its name and five numbers are kept.

    It may be pickled, and used after a fork: each read tells its place in the file, so that processes that share an
    open one do not move each other about in it.

    Args:
        root (Path): The zip file.
        entries (Iterable[ZipInfo]): The images.
    """

    def __init__(self, root: Path, entries: Iterable[zipfile.ZipInfo]) -> None:
        entries = list(entries)
        self.root = str(root)
        self.names = PackedNames(entry.filename.encode() for entry in entries)
        self.numbers = np.array([(entry.header_offset, entry.compress_size, entry.compress_type, entry.CRC,
                                  entry.file_size) for entry in entries], np.int64).reshape(-1, 5)
        self._file = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_file': None}

    def __del__(self) -> None:
        if getattr(self, '_file', None) is not None:
            self._file.close()

    @property
    def place(self) -> str:
        """See ImageFolderFiles: nothing here, since checksums are of the content, wherever it lies."""
        return ''

    def source_of(self, position: int) -> str:
        """Return the path of the zip file and the name in it."""
        return f'{self.root}/{self.names[position].decode()}'

    def sample(self, position: int) -> dict:
        """Return what `LoadImage` takes of an image: `img_bytes`, and `img_path`, what errors call it."""
        return dict(img_path=self.source_of(position), img_bytes=self._read(position))

    def state(self, position: int) -> str:
        """Return what changes when an image does: its size in bytes and its checksum."""
        return f'{self.numbers[position, 1]} {self.numbers[position, 3]}'

    def _read(self, position: int) -> bytes:
        start, packed, method, crc, size = self.numbers[position].tolist()
        try:
            if self._file is None:
                self._file = open(self.root, 'rb')  # for as long as the data set is there
            if packed > MAX_IMAGE_BYTES:
                raise Unreadable(f'it has {packed} bytes, more than {MAX_IMAGE_BYTES}')
            signature, *lengths = LOCAL_HEADER.unpack(self._read_at(start, LOCAL_HEADER.size))
            content = self._read_at(start + LOCAL_HEADER.size + sum(lengths), packed)
            if method == zipfile.ZIP_DEFLATED:
                content = bytes(unpack(io.BytesIO(content), packed, size))
        except (OSError, struct.error, Unreadable) as error:
            raise InputError(f'{self.source_of(position)} cannot be read: {error}. {REPAIR}') from error
        if signature != LOCAL_SIGNATURE or zlib.crc32(content) != crc:
            raise InputError(f'{self.source_of(position)} is damaged: its checksum is another one. {REPAIR}')
        return content

    def _read_at(self, start: int, size: int) -> bytes:
        return read_at(self._file, start, size)


class FolderArchive:
    """A folder, to be looked through. Links are followed; what begins with a dot does not count."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folders(self) -> list[str]:
        """Return the names of the folders right below the root, sorted."""
        return [entry.name for entry in self._entries('') if self._is_folder('', entry)]

    def has_loose_images(self) -> bool:
        """Return whether there are images right below the root; other folders are not looked into."""
        return any(is_image(entry.name) and not self._is_folder('', entry) for entry in self._entries(''))

    def images(self, folders: Optional[Sequence[str]] = None) -> ImageFolderFiles:
        """Return the images, sorted folder by folder: all, or in that order those of some of `folders()`."""
        return ImageFolderFiles(self.root, [
            name for prefix in ([''] if folders is None else [f'{folder}/' for folder in folders])
            for name in self._find(prefix)
        ])

    def read(self, name: str, most: int = JSON_BYTES) -> Optional[bytes]:
        """Return the content of a file of at most `most` bytes; None if there is none of this name."""
        try:
            return read_file(self.root / name, most)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f'{self.root / name} cannot be read: {error.strerror}.') from error
        except Unreadable as error:
            raise InputError(f'{self.root / name} cannot be read: {error}.') from error

    def _find(self, prefix: str) -> Iterator[str]:
        for entry in self._entries(prefix):
            if self._is_folder(prefix, entry):
                yield from self._find(f'{prefix}{entry.name}/')
            elif is_image(entry.name):
                yield prefix + entry.name

    def _is_folder(self, prefix: str, entry: os.DirEntry) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # such as a link to a folder above it, which has no end
            raise InputError(f'{self.root / prefix / entry.name} cannot be read: {error.strerror}.') from error

    def _entries(self, prefix: str) -> list[os.DirEntry]:
        try:
            with os.scandir(self.root / prefix) as entries:
                return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f'{self.root / prefix} cannot be read: {error.strerror}.') from error


class ZipArchive:
    """A zip file, to be looked through. What begins with a dot does not count."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self.entries = [entry for entry in open_directory(root, images=True) if not is_hidden(entry.filename)]
        except (OSError, Unreadable) as error:
            raise InputError(f'{root} cannot be read as a zip file: {error}. {REPAIR}') from error
        self.entries.sort(key=lambda entry: entry.filename.split('/'))

    def folders(self) -> list[str]:
        """See FolderArchive."""
        return sorted({entry.filename.split('/')[0] for entry in self.entries if '/' in entry.filename})

    def has_loose_images(self) -> bool:
        """See FolderArchive."""
        return any(is_image(entry.filename) and '/' not in entry.filename for entry in self.entries)

    def images(self, folders: Optional[Sequence[str]] = None) -> ImageZipFiles:
        """See FolderArchive."""
        entries = [entry for entry in self.entries if is_image(entry.filename)]
        if folders is not None:
            ranks = {folder: rank for rank, folder in enumerate(folders)}
            tops = [entry.filename.split('/')[0] if '/' in entry.filename else None for entry in entries]
            ranked = [(ranks[top], entry) for top, entry in zip(tops, entries) if top in ranks]
            entries = [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]
        for entry in entries:
            try:
                check_readable(entry)
            except Unreadable as error:
                raise InputError(f'{entry.filename} in {self.root} cannot be read, {error}: pack the images again, '
                                 'stored or deflated.') from error
        return ImageZipFiles(self.root, entries)

    def read(self, name: str, most: int = JSON_BYTES) -> Optional[bytes]:
        """See FolderArchive."""
        found = [entry for entry in self.entries if entry.filename == name]
        if not found:
            return None
        try:
            with open(self.root, 'rb') as file:
                return bytes(read_entry(file, found[-1], most))
        except (OSError, Unreadable) as error:
            raise InputError(f'{name} in {self.root} cannot be read: {error}. {REPAIR}') from error


def open_archive(root: Union[str, Path], layout: str) -> Union[FolderArchive, ZipArchive]:
    """Return what `root` is; an InputError that ends in `layout` if it is neither a folder nor a zip file."""
    root = Path(root)
    if root.is_dir():
        return FolderArchive(root)
    if not root.exists():
        raise InputError(f'there is no data folder {root}{" (nor .zip)" if root.suffix else ""}: {layout}')
    if root.suffix.lower() != '.zip':
        raise InputError(f'{root} is neither a folder nor a .zip: {layout}')
    return ZipArchive(root)


def is_image(name: str) -> bool:
    """Return whether a file has a suffix of images."""
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a file or a folder above it begins with a dot, or is what macOS adds to a zip file."""
    return name.startswith(('.', '__MACOSX/')) or '/.' in name
