"""Images in a folder."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmcm.datasets.formats.archive import Archive, Level, StoredImages
from mmcm.datasets.formats.image_names import LeftOut, composed, is_hidden, is_image
from mmcm.datasets.formats.packed_names import PackedNames
from mmcm.utils.bounded import JSON_BYTES, Unreadable, read_file
from mmcm.utils.errors import InputError


class ImageFolderFiles(StoredImages):
    """Images in a folder.

    Args:
        root (Path): The folder.
        names (Iterable[str]): Names of the images.
    """

    def __init__(self, root: Path, names: Iterable[str]) -> None:
        self.root = str(root)
        self.names = PackedNames(map(os.fsencode, names))

    @property
    def place(self) -> str:
        """The absolute path: sizes and times alone may agree between unpacked archives."""
        return os.path.abspath(self.root)

    def source_of(self, position: int) -> str:
        """Return the path of an image."""
        return f'{self.root}/{os.fsdecode(self.names[position])}'

    def sample(self, position: int) -> dict:
        """Return `img_path`, for `LoadImage`."""
        return dict(img_path=self.source_of(position))

    def state(self, position: int) -> str:
        """Return size and modification time; 'missing' for a broken link, whose reading fails later."""
        try:
            status = Path(self.source_of(position)).stat()
        except FileNotFoundError:
            return 'missing'
        except OSError as error:
            raise InputError(f'{self.source_of(position)} cannot be read: {error.strerror}.') from error
        return f'{status.st_size} {status.st_mtime_ns}'


class FolderArchive(Archive):
    """A folder with images. Links are followed."""

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
        except OSError as error:  # such as a link to a folder above it, an endless loop
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
