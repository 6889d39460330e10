"""CIFAR-10 (Krizhevsky, 2009): 60 000 photographs of 32 x 32 pixels, as its 'python version' stores them."""
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import torch

from mmcm.datasets.in_memory import InMemoryDataset
from mmcm.datasets.numpy_pickle import PickledArray, read_numpy_pickle
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

FOLDER = 'cifar-10-batches-py'
PAGE = 'https://www.cs.toronto.edu/~kriz/cifar.html'
SHAPE = (3, 32, 32)
CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
SPLITS = dict(  # file names and their MD5 digests
    train=dict(
        data_batch_1='c99cafc152244af753f735de768cd75f',
        data_batch_2='d4bba439e000b95fd0a9bffe97cbabec',
        data_batch_3='54ebc095f3ab1f0389bbae665268c751',
        data_batch_4='634d18415352ddfa80567beed471001a',
        data_batch_5='482c414d41f54cd18b22e5b47cb7c3cb'),
    test=dict(test_batch='40351d587109b95175f43aff81a1287e'))


@DATASETS.register_module()
class CIFAR10(InMemoryDataset):
    """Images of 3 x 32 x 32, uint8, RGB, with labels 0 (airplane) to 9 (truck), in the order of the files.

    Args:
        data_root (str): Where the archive was unpacked: the folder that holds `cifar-10-batches-py`.
        split (str): 'train', 50 000 images, or 'test', 10 000.
        labelled, flip, pipeline: See InMemoryDataset.
        check_md5 (bool): Whether the files have to be the published ones, by their MD5 digests.

    Raises:
        InputError: If a file is missing or damaged, contains anything but images and labels, or is another one than was
            published.
    """

    def __init__(self,
                 data_root: str,
                 split: str = 'train',
                 labelled: bool = True,
                 flip: bool = False,
                 pipeline: Optional[Sequence[dict]] = None,
                 check_md5: bool = False) -> None:
        if split not in SPLITS:
            raise InputError(f'split has to be one of {", ".join(SPLITS)}, got {split!r}.')
        folder = Path(data_root) / FOLDER
        batches = [read_batch(folder / name, digest if check_md5 else None) for name, digest in SPLITS[split].items()]
        images = torch.from_numpy(np.concatenate([images for images, _ in batches]))
        labels = [label for _, labels in batches for label in labels]
        super().__init__(images, labels, CLASSES, 'cifar10', labelled, flip, pipeline)


def read_batch(path: Path, digest: Optional[str] = None) -> tuple[np.ndarray, list[int]]:
    """Return the images (N, 3, 32, 32), uint8, and the labels of a batch file, whose MD5 is `digest` unless None."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f'{path} cannot be read: {error.strerror}. Unpack the python version of CIFAR-10 ({PAGE}), so '
                         f'that data_root holds the folder {FOLDER} with data_batch_1 to data_batch_5 and '
                         'test_batch.') from error
    if digest is not None:
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != digest:
            raise InputError(f'{path} is not the published file: its MD5 is {found}, not {digest}. Download it again '
                             f'from {PAGE}.')
    batch = read_numpy_pickle(content, path)
    pixels, labels = (batch.get(key) for key in (b'data', b'labels')) if isinstance(batch, dict) else (None, None)
    pixels = pixels.array if isinstance(pixels, PickledArray) else None
    if pixels is None or pixels.ndim != 2 or pixels.shape[1] != np.prod(SHAPE) or not isinstance(labels, list):
        raise InputError(f'{path} is no batch of CIFAR-10: `data`, N x {np.prod(SHAPE)} bytes, and `labels`, a list, '
                         f'are expected. Download it again from {PAGE}.')
    if len(labels) != len(pixels) or not all(isinstance(label, int) and 0 <= label < len(CLASSES) for label in labels):
        raise InputError(f'{path} has {len(pixels)} images and {len(labels)} labels: one from 0 to {len(CLASSES) - 1} '
                         f'for each is expected. Download it again from {PAGE}.')
    return pixels.reshape(-1, *SHAPE), labels
