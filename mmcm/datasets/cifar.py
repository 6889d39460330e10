"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 60 000 photographs of 32 x 32 pixels, in the 'python version'."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from mmcm.datasets.formats.numpy_pickle import PickledArray, read_numpy_pickle
from mmcm.datasets.image_arrays import ImageArrays
from mmcm.registry import DATASETS
from mmcm.utils.bounded import open_plain
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError

PAGE = 'https://www.cs.toronto.edu/~kriz/cifar.html'
SHAPE = (3, 32, 32)
CIFAR10_CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
CIFAR100_CLASSES = dict(
    fine=tuple(
        (
            'apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, '
            'butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, '
            'crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, '
            'keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain, mouse, '
            'mushroom, oak tree, orange, orchid, otter, palm tree, pear, pickup truck, pine tree, plain, plate, poppy, '
            'porcupine, possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, '
            'snail, snake, spider, squirrel, streetcar, sunflower, sweet pepper, table, tank, telephone, television, '
            'tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, willow tree, wolf, woman, worm'
        ).split(', ')
    ),
    coarse=tuple(
        (
            'aquatic mammals, fish, flowers, food containers, fruit and vegetables, household electrical devices, '
            'household furniture, insects, large carnivores, large man-made outdoor things, large natural outdoor '
            'scenes, large omnivores and herbivores, medium mammals, non-insect invertebrates, people, reptiles, small '
            'mammals, trees, vehicles 1, vehicles 2'
        ).split(', ')
    ),
)


class CIFAR(ImageArrays):
    """Images of 3 x 32 x 32, uint8, RGB, in the order of the files.

    Args:
        data_root (str): Where the archive was unpacked: the folder that holds `folder`.
        split (str): 'train', 50 000 images, or 'test', 10 000.
        labelled, flip, pipeline: See ImageArrays.
        check_md5 (bool): Whether to require the MD5 digests of the published files.

    Raises:
        InputError: If a file is missing or damaged, contains anything but images and labels, or is not the published
            one.
    """

    name: ClassVar[str]
    dataset_type: ClassVar[str]
    folder: ClassVar[str]
    held_out_split: ClassVar = 'test'
    splits: ClassVar[dict[str, dict[str, str]]]  # for each split, the MD5 digests of its files
    label_key: bytes  # of the labels in a file
    classes: Sequence[str]

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        labelled: bool = True,
        flip: bool = False,
        pipeline: Sequence[dict] | None = None,
        check_md5: bool = True,
    ) -> None:
        check_choice('split', split, tuple(self.splits))
        folder = Path(data_root) / self.folder
        batches = [
            self.read_batch(folder / name, digest if check_md5 else None) for name, digest in self.splits[split].items()
        ]
        images = torch.from_numpy(np.concatenate([images for images, _ in batches]))
        labels = [label for _, labels in batches for label in labels]
        super().__init__([images], labels, self.classes, self.dataset_type, labelled, flip, pipeline)

    def read_batch(self, path: Path, digest: str | None) -> tuple[np.ndarray, list[int]]:
        """Return the images (N, 3, 32, 32), uint8, and the labels of a file; its MD5 has to be `digest` unless None."""
        try:
            with open_plain(path) as file:
                content = file.read()
        except OSError as error:
            raise InputError(
                f'{path} cannot be read: {error.strerror}. Unpack the python version of {self.name} '
                f'({PAGE}), so that data_root holds the folder {self.folder} with '
                f'{", ".join(name for files in self.splits.values() for name in files)}.'
            ) from error
        if digest is not None:
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != digest:
                raise InputError(
                    f'{path} is not the published file: its MD5 is {found}, not {digest}. Download it '
                    f'again from {PAGE}, or set check_md5=False if it is meant to be another one.'
                )
        batch = read_numpy_pickle(content, path)
        values = (batch.get(key) for key in (b'data', self.label_key)) if isinstance(batch, dict) else (None, None)
        pixels, labels = values
        pixels = pixels.array if isinstance(pixels, PickledArray) else None
        if pixels is None or pixels.ndim != 2 or pixels.shape[1] != np.prod(SHAPE) or not isinstance(labels, list):
            raise InputError(
                f'{path} is no batch of {self.name}: `data`, N x {np.prod(SHAPE)} bytes, and '
                f'`{self.label_key.decode()}`, a list, are expected. Download it again from {PAGE}.'
            )
        if len(labels) != len(pixels) or not all(
            type(label) is int and 0 <= label < len(self.classes) for label in labels
        ):
            raise InputError(
                f'{path} has {len(pixels)} images and {len(labels)} labels: one from 0 to '
                f'{len(self.classes) - 1} for each is expected. Download it again from {PAGE}.'
            )
        return pixels.reshape(-1, *SHAPE), labels


@DATASETS.register_module()
class CIFAR10(CIFAR):
    """CIFAR-10, with labels 0 (airplane) to 9 (truck).

    Args: See CIFAR.
    """

    name = 'CIFAR-10'
    dataset_type = 'cifar10'
    folder = 'cifar-10-batches-py'
    splits: ClassVar = dict(
        train=dict(
            data_batch_1='c99cafc152244af753f735de768cd75f',
            data_batch_2='d4bba439e000b95fd0a9bffe97cbabec',
            data_batch_3='54ebc095f3ab1f0389bbae665268c751',
            data_batch_4='634d18415352ddfa80567beed471001a',
            data_batch_5='482c414d41f54cd18b22e5b47cb7c3cb',
        ),
        test=dict(test_batch='40351d587109b95175f43aff81a1287e'),
    )
    label_key = b'labels'
    classes = CIFAR10_CLASSES


@DATASETS.register_module()
class CIFAR100(CIFAR):
    """CIFAR-100, with labels 0 (apple) to 99 (worm), or with those of 20 groups of five classes.

    Args:
        labels (str): 'fine', the classes, or 'coarse', the groups.

    The other arguments: see CIFAR.
    """

    name = 'CIFAR-100'
    dataset_type = 'cifar100'
    folder = 'cifar-100-python'
    splits: ClassVar = dict(
        train=dict(train='16019d7e3df5f24257cddd939b257f8d'), test=dict(test='f0ef6b0ae62326f3e7ffdfab6717acfc')
    )

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        labels: str = 'fine',
        labelled: bool = True,
        flip: bool = False,
        pipeline: Sequence[dict] | None = None,
        check_md5: bool = True,
    ) -> None:
        check_choice('labels', labels, tuple(CIFAR100_CLASSES))
        self.label_key = f'{labels}_labels'.encode()
        self.classes = CIFAR100_CLASSES[labels]
        super().__init__(data_root, split, labelled, flip, pipeline, check_md5)
