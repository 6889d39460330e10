"""Where image files lie: in a folder, or in a zip file. Names are relative to it, with '/', in both."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np

from mmcm.datasets.formats.image_names import (
    LABELS_FILE,
    LeftOut,
    composed,
    entry_name,
    is_hidden,
    is_image,
    plain_path,
)
from mmcm.datasets.formats.packed_names import PackedNames
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

REPAIR = 'Copy it or make it again.'
MOST_AROUND = 8  # folders around those of classes


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
        """Return what changes when an image does: its size in bytes and the time of its last change.

        A link to nothing has none: whoever reads it is told, or leaves it out.
        """
        try:
            status = os.stat(self.source_of(position))
        except FileNotFoundError:
            return 'missing'
        except OSError as error:
            raise InputError(f'{self.source_of(position)} cannot be read: {error.strerror}.') from error
        return f'{status.st_size} {status.st_mtime_ns}'


class ImageZipFiles:
    """Images in a zip file; of each, its name and five numbers are kept.

    It may be pickled, and used after a fork: each read tells its place in the file, so that processes that share an
    open one do not move each other about in it.

    Args:
        root (Path): The zip file.
        images (Sequence[tuple[str, ZipInfo]]): The images, each with the name that it goes by.
        prefix (str): The folder in the zip file that the names are relative to; '' for the whole.
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
        return f'{self.root}/{self.prefix}{os.fsdecode(self.names[position])}'

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


class Level(NamedTuple):
    """What lies right in a folder, sorted; what is hidden is not among it."""

    folders: list[str]
    files: list[str]


class Archive:
    """A folder or a zip file, to be looked through. What is hidden (`is_hidden`) does not count.

    Attributes:
        root (Path): Where it is.
        prefix (str): The folder in it that names are relative to, with a '/'; '' for the whole.
        left_out (LeftOut): What `images` has found beside images.
        num_replaced (int): How many entries another one of the same name has replaced, as when a zip is unpacked.
    """

    num_replaced = 0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = ''
        self.left_out = LeftOut()

    @property
    def place(self) -> str:
        """What messages call the folder that names are relative to."""
        return str(self.root / self.prefix)

    def level(self, prefix: str = '') -> Level:
        """Return what lies right in the folder `prefix`, which ends in '/' unless it is the whole."""
        raise NotImplementedError

    def images(self, folders: Sequence[str] | None = None) -> Union[ImageFolderFiles, 'ImageZipFiles']:
        """Return the images, sorted folder by folder: all, or in that order those of some of `folders()`."""
        raise NotImplementedError

    def read(self, name: str, most: int = JSON_BYTES) -> bytes | None:
        """Return the content of a file of at most `most` bytes; None if there is none of this name."""
        raise NotImplementedError

    def image_folders(self) -> Iterator[str]:
        """Yield those of `folders()` that images lie below."""
        raise NotImplementedError

    def folders(self) -> list[str]:
        """Return the names of the folders right below, sorted, also of those without images."""
        return self.level().folders

    def loose_images(self) -> list[str]:
        """Return the names of the images right below, which lie in no folder."""
        return [name for name in self.level().files if is_image(name)]

    def class_folders(self) -> list[str]:
        """Return `folders()`, if they are classes: there are images in two of them, or none beside them."""
        if self.loose_images() and len(list(islice(self.image_folders(), 2))) < 2:
            return []
        return self.folders()

    def remarks(self) -> list[str]:
        """Return what is to be said of the files that `images` has not returned."""
        found = [self.left_out.described()]
        if self.num_replaced:
            found.append(f'{self.num_replaced} of its entries are replaced by later ones of the same name')
        return [text for text in found if text]

    def look_through(self) -> None:
        """Go down to the folders of classes, or to `dataset.json`, where nothing but folders lies around them.

        That is: one folder on each level, and no image. Files of other kinds may lie there.
        """
        prefix = ''
        for _ in range(MOST_AROUND):
            folders, files = self.level(prefix)
            num_loose = sum(map(is_image, files))
            if LABELS_FILE in files or len(folders) > max(1, num_loose):
                self.prefix += prefix
                return
            if len(folders) != 1 or num_loose:
                return  # a single class, or none
            prefix += f'{folders[0]}/'


class FolderArchive(Archive):
    """A folder, to be looked through. Links are followed."""

    def level(self, prefix: str = '') -> Level:
        """See Archive."""
        level = Level([], [])
        for entry in self._entries(prefix):
            (level.folders if self._is_folder(prefix, entry) else level.files).append(entry.name)
        return level

    def images(self, folders: Sequence[str] | None = None) -> ImageFolderFiles:
        """See Archive."""
        self.left_out = LeftOut()
        return ImageFolderFiles(
            self.root / self.prefix,
            [
                name
                for prefix in ([''] if folders is None else [f'{folder}/' for folder in folders])
                for name in self._find(prefix)
            ],
        )

    def image_folders(self) -> Iterator[str]:
        """See Archive."""
        return (folder for folder in self.folders() if any(True for _ in self._find(f'{folder}/')))

    def read(self, name: str, most: int = JSON_BYTES) -> bytes | None:
        """See Archive."""
        path = self.root / self.prefix / name
        try:
            return read_file(path, most)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f'{path} cannot be read: {error.strerror}.') from error
        except Unreadable as error:
            raise InputError(f'{path} cannot be read: {error}.') from error

    def _find(self, prefix: str) -> Iterator[str]:
        for entry in self._entries(prefix):
            if self._is_folder(prefix, entry):
                yield from self._find(f'{prefix}{entry.name}/')
            elif is_image(entry.name):
                yield prefix + entry.name
            else:
                self.left_out.add(prefix + entry.name)

    def _is_folder(self, prefix: str, entry: os.DirEntry) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # such as a link to a folder above it, which has no end
            place = self.root / self.prefix / prefix / entry.name
            raise InputError(f'{place} cannot be read: {error.strerror}.') from error

    def _entries(self, prefix: str) -> list[os.DirEntry]:
        place = self.root / self.prefix / prefix
        try:
            with os.scandir(place) as entries:
                return sorted(
                    (entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: composed(entry.name)
                )
        except OSError as error:
            raise InputError(f'{place} cannot be read: {error.strerror}.') from error


class ZipArchive(Archive):
    """A zip file, to be looked through. Names are what their programs meant (`entry_name`, `plain_path`)."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        found, self.empty = {}, []  # files by their names; entries of folders, with a '/'
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
        # Folder by folder, as in FolderArchive: no name holds the lowest character.
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
            with open(self.root, 'rb') as file:
                return bytes(read_entry(file, entry, most))
        except (OSError, Unreadable) as error:
            raise InputError(f'{self.prefix}{name} in {self.root} cannot be read: {error}. {REPAIR}') from error

    def _inside(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """Yield the files in the folder `prefix`, and their names relative to it."""
        return ((path[len(self.prefix) :], entry) for path, entry in self.entries if path.startswith(self.prefix))

    def _check_image(self, name: str, entry: zipfile.ZipInfo) -> None:
        """Raise an InputError if an image cannot be read."""
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


def open_archive(root: str | Path, layout: str) -> Archive:
    """Return what `root` is; an InputError that ends in `layout` if it is neither a folder nor a zip file."""
    root = Path(root)
    if root.is_dir():
        return FolderArchive(root)
    if not root.exists():
        raise InputError(f'there is no data folder {root}{" (nor .zip)" if root.suffix else ""}: {layout}')
    if root.suffix.lower() != '.zip':
        raise InputError(f'{root} is neither a folder nor a .zip: {layout}')
    return ZipArchive(root)
