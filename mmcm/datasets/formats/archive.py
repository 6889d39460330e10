"""Base of archives of images: folders and zip files, whose names are relative and have '/' in both."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mmcm.datasets.formats.image_names import LABELS_FILE, LeftOut, is_image
from mmcm.datasets.formats.packed_names import PackedNames
from mmcm.utils.bounded import JSON_BYTES

REPAIR = 'Copy it or make it again.'
MOST_AROUND = 8  # folders around those of classes


class StoredImages(ABC):
    """Encoded images in a folder or a zip file.

    Attributes:
        names (PackedNames): Names of the images.
    """

    names: PackedNames

    @property
    @abstractmethod
    def place(self) -> str:
        """The part of the identity of the images that `state` does not contain."""

    @abstractmethod
    def source_of(self, position: int) -> str:
        """Return the path of an image, for messages."""

    @abstractmethod
    def sample(self, position: int) -> dict:
        """Return the input of `LoadImage`: `img_path`, and `img_bytes` if that is no path of a file."""

    @abstractmethod
    def state(self, position: int) -> str:
        """Return a text that changes when an image does."""


class Level(NamedTuple):
    """The visible folders and files directly in a folder, sorted."""

    folders: list[str]
    files: list[str]


class Archive(ABC):
    """A folder or a zip file with images. Hidden files and folders (`is_hidden`) are ignored.

    Attributes:
        root (Path): Path of the folder or zip file.
        prefix (str): The folder in it that names are relative to, with a '/'; '' for the root.
        left_out (LeftOut): Other files that `images` found.
        num_replaced (int): Number of entries that a later one of the same name replaces.
    """

    num_replaced = 0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = ''
        self.left_out = LeftOut()

    @property
    def place(self) -> str:
        """The folder that names are relative to, for messages."""
        return str(self.root / self.prefix)

    @abstractmethod
    def level(self, prefix: str = '') -> Level:
        """Return the contents of the folder `prefix`, which ends in '/' or is '' for the root."""

    @abstractmethod
    def images(self, folders: Sequence[str] | None = None) -> StoredImages:
        """Return the images, sorted by folder: all, or those in the given ones of `folders()`, in that order."""

    @abstractmethod
    def read(self, name: str, most: int = JSON_BYTES) -> bytes | None:
        """Return the content of a file of at most `most` bytes; None if it does not exist."""

    @abstractmethod
    def image_folders(self) -> Iterator[str]:
        """Yield those of `folders()` that contain images at any depth."""

    def folders(self) -> list[str]:
        """Return the sorted names of the top folders, including those without images."""
        return self.level().folders

    def loose_images(self) -> list[str]:
        """Return the names of the images outside all folders."""
        return [name for name in self.level().files if is_image(name)]

    def class_folders(self) -> list[str]:
        """Return `folders()` if they are classes: two of them contain images, or no image lies beside them."""
        if self.loose_images() and len(list(islice(self.image_folders(), 2))) < 2:
            return []
        return self.folders()

    def remarks(self) -> list[str]:
        """Return remarks on the files that `images` left out, for the log."""
        found = [self.left_out.described()]
        if self.num_replaced:
            found.append(f'{self.num_replaced} of its entries are replaced by later ones of the same name')
        return [text for text in found if text]

    def look_through(self) -> None:
        """Descend to the folders of classes, or to `dataset.json`, through levels with one folder and no image.

        Files of other kinds may lie on these levels.
        """
        prefix = ''
        for _ in range(MOST_AROUND):
            folders, files = self.level(prefix)
            num_loose = sum(map(is_image, files))
            if LABELS_FILE in files or len(folders) > max(1, num_loose):
                self.prefix += prefix
                return
            if len(folders) != 1 or num_loose:
                return  # at most one class
            prefix += f'{folders[0]}/'
