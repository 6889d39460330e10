"""LSUN (Yu et al., 2015): millions of photographs of one kind of scene or object, in the published lmdb."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from mmcm.checkpoints import cache_folder
from mmcm.datasets.encoded_images import EncodedImages
from mmcm.datasets.formats.packed_names import PackedNames
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing
from mmcm.utils.npz import open_npz

PAGE = 'https://www.yf.io/p/lsun'
DATA_FILE = 'data.mdb'
KEYS_FILE = 'mmcm_keys.npz'
HASHED = 16  # images that the fingerprint reads


@DATASETS.register_module()
class LSUN(EncodedImages):
    """The images of a category, in the order of their keys in the database; they have no classes.

    Args:
        data_root (str): The unpacked folder, `bedroom_train_lmdb`, which holds `data.mdb`.
        pipeline (Sequence[dict]): Transforms, from `img_path` and `img_bytes` to `inputs`.
        flip (bool): See ImageDataset.
        background (str): See EncodedImages.

    Raises:
        InputError: If it is no database of images, or the package lmdb is missing.
    """

    def __init__(
        self, data_root: str, pipeline: Sequence[dict], flip: bool = False, background: str = DEFAULT_BACKGROUND
    ) -> None:
        self.database = Database(Path(data_root))
        self.keys = self.database.keys()
        super().__init__(len(self.keys), None, (), 'lsun', pipeline, flip, background)

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: of the keys, the size of the database, some images, and the processing."""
        sha = hashlib.sha256(
            repr((self.pipeline_config, self.flip, self.database.size, self.transparency.background)).encode()
        )
        sha.update(self.keys.content.data)
        # The keys and the preset file size do not show whether images are encoded in another way, so some are read.
        # The time is left out: a copy is the same data set.
        for position in np.linspace(0, self.num_images - 1, HASHED, dtype=int).tolist():
            sha.update(self.encoded(position))
        return sha.hexdigest()

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return f'{self.database.root}/{os.fsdecode(self.keys[index % self.num_images])}'

    def encoded(self, position: int) -> bytes:
        """Return the encoded image `position`, a WebP."""
        content = self.database.read(self.keys[position])
        if content is None:
            raise InputError(f'{self.source_of(position)} is not there any more: start again.')
        return content

    def sample(self, position: int) -> dict:
        """See EncodedImages."""
        return dict(img_path=self.source_of(position), img_bytes=self.encoded(position))


class Database:
    """A read-only lmdb. It may be pickled and used after a fork: each process opens it itself.

    Args:
        root (Path): The folder that holds `data.mdb`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / DATA_FILE).is_file():
            what = 'holds no' if root.is_dir() else 'is no folder with a'
            raise InputError(
                f'{root} {what} {DATA_FILE}: set data_root to the unpacked folder of a category, bedroom_train_lmdb '
                f'({PAGE}). Exported images are read by ImageFolder, with labelled=False.'
            )
        self._shared: Environment | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_shared': None}

    @property
    def size(self) -> int:
        """Size in bytes."""
        return (self.root / DATA_FILE).stat().st_size

    def read(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        lmdb, environment = import_lmdb(), self._environment()
        try:
            with environment.begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise self._unreadable(error) from error

    def keys(self) -> PackedNames:
        """Return all keys, in the order of the database.

        Listing three million takes minutes if the file is not in memory, so the list is kept: beside the database if
        that folder is writable, else in the cache of downloads.
        """
        status = (self.root / DATA_FILE).stat()
        stamp = np.array([status.st_size, status.st_mtime_ns])
        for place in key_places(self.root):
            # A damaged list is ignored.
            with suppress(InputError):
                kept = open_npz(place)
                if np.array_equal(kept['stamp'], stamp):
                    return PackedNames.of(kept['content'], kept['ends'])
        lmdb, environment = import_lmdb(), self._environment()
        try:
            with environment.begin() as transaction:
                keys = PackedNames(transaction.cursor().iternext(keys=True, values=False))
        except lmdb.Error as error:
            raise self._unreadable(error) from error
        if not len(keys):
            raise InputError(f'{self.root} holds no images. Unpack it again ({PAGE}).')
        for place in key_places(self.root):
            with suppress(OSError, InputError):
                place.parent.mkdir(parents=True, exist_ok=True)
                with appearing(place) as part, part.open('wb') as file:
                    np.savez(file, stamp=stamp, content=keys.content, ends=keys.ends)
                break
        return keys

    def _environment(self) -> Any:
        if self._shared is None:
            path = str(self.root.resolve())
            self._shared = OPENED[path] = OPENED.get(path) or Environment(path)
        lmdb = import_lmdb()
        try:
            return self._shared.of_this_process()
        except lmdb.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        return InputError(f'{self.root / DATA_FILE} cannot be read as an lmdb: {error}. Unpack it again ({PAGE}).')


class Environment:
    """An open database; it is closed with the last reference to this object.

    Args:
        path (str): The folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.opened: Any = None
        self.process: int | None = None

    def of_this_process(self) -> Any:
        """Return lmdb's environment, reopened if it was opened before a fork."""
        if self.process != os.getpid():
            self.close()
            # No lock: nobody writes, and the folder may be read-only. No read-ahead: training reads in random order.
            lmdb = import_lmdb()
            self.opened = lmdb.open(self.path, readonly=True, lock=False, readahead=False, create=False)
            size = (Path(self.path) / DATA_FILE).stat().st_size
            needed = (self.opened.info()['last_pgno'] + 1) * self.opened.stat()['psize']
            if size < needed:  # reading beyond the end of a mapped file would kill the process
                self.close()
                raise lmdb.CorruptedError(f'it has {size} bytes of {needed}')
            self.process = os.getpid()
        return self.opened

    def close(self) -> None:
        """Close it."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def __del__(self) -> None:
        self.close()


# lmdb opens a path only once in a process, but two data sets may use it: one for training, one as a reference.
OPENED: WeakValueDictionary[str, Environment] = WeakValueDictionary()


def import_lmdb() -> Any:
    """Return the package lmdb; raise an InputError that names it if it is missing."""
    try:
        import lmdb
    except ImportError as error:
        raise InputError('the database of LSUN needs the package lmdb: pip install -e ".[lsun]"') from error
    return lmdb


def key_places(root: Path) -> list[Path]:
    """Return the possible files for the keys of a database, the preferred one first."""
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return [root / KEYS_FILE, cache_folder() / 'lsun' / f'{name}.npz']
