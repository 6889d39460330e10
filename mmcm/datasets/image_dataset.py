"""Base of all data sets of images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch.utils.data import Dataset

from mmcm.datasets.formats.image_names import listed
from mmcm.datasets.transparency import Transparency

MAX_LABEL = 10**6 - 1  # more classes are a mistake, and would fill the memory


class ImageDataset(Dataset):
    """Images with or without classes; their labels are known without reading an image.

    Args:
        num_images (int): Number of images, without mirror images.
        labels (Sequence[int], optional): Class of each image, an index of `classes`; None without classes.
        classes (Sequence[str]): Names of the classes; unused without labels.
        dataset_type (str): Name of the kind of data set, for MMEngine's `metainfo`.
        flip (bool): Whether the data set includes the mirror images: item N + i is image i with left and right
            exchanged. In training, that is a flip with probability 0.5, but without a random number: a resumed run
            sees the same items as an uninterrupted one.

    Attributes:
        labels (ndarray, optional): Class of each item, mirror images included, int64; None without classes.
        transparency (Transparency, optional): Background of transparent images, and their number so far; None if no
            image can be transparent.
    """

    transparency: Transparency | None = None
    held_out_split: ClassVar[str | None] = None  # the `split` that a training on split='train' does not see

    def __init__(
        self,
        num_images: int,
        labels: Sequence[int] | np.ndarray | None,
        classes: Sequence[str],
        dataset_type: str,
        flip: bool = False,
    ) -> None:
        self.num_images = num_images
        self.flip = flip
        # An array, not a list: without reference counts, worker processes keep sharing the memory.
        self.labels = None if labels is None else np.tile(np.asarray(labels, np.int64), 2 if flip else 1)
        self.metainfo = dict(dataset_type=dataset_type, classes=() if labels is None else tuple(classes))

    @property
    def num_classes(self) -> int | None:
        """Number of classes, as the network needs it; None without classes."""
        return len(self.metainfo['classes']) or None

    @property
    def empty_classes(self) -> str | None:
        """Description of the classes without images; None if each has one, or there are no classes."""
        if self.labels is None:
            return None
        return classes_without_images(self.labels, self.metainfo['classes'])

    @property
    def apart(self) -> Sequence[int]:
        """The largest set of items without common pixels: all but the mirror images."""
        return range(self.num_images)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Digest that identifies these images, in hexadecimal digits, found without decoding them."""

    @abstractmethod
    def read(self, position: int) -> dict:
        """Return `inputs`, uint8 (C, H, W), RGB if C is 3, of image `position`, below `num_images`."""

    def name_of(self, position: int) -> bytes:
        """Return what identifies image `position` in other copies of the data set, too: by default its number."""
        return b'%d' % position

    def source_of(self, index: int) -> str:
        """Return the source of item `index`, for messages."""
        return f'image {index % self.num_images}'

    def __len__(self) -> int:
        return self.num_images * (2 if self.flip else 1)

    def __getitem__(self, index: int) -> dict:
        """Return `inputs`, uint8 (C, H, W), and `gt_label`, an int or None."""
        index = range(len(self))[index]
        mirrored, position = divmod(index, self.num_images)
        sample = self.read(position)
        if mirrored:
            sample['inputs'] = sample['inputs'].flip(-1)
        return {**sample, 'gt_label': None if self.labels is None else int(self.labels[index])}


def classes_without_images(labels: np.ndarray, names: Sequence[str]) -> str | None:
    """Describe the classes without images; return None if there are none.

    Args:
        labels (ndarray): The class of each image.
        names (Sequence[str]): The names of the classes, or their numbers.
    """
    empty = np.flatnonzero(np.bincount(labels, minlength=len(names)) == 0).tolist()
    if not empty:
        return None
    shown = listed(str(label) if names[label] == str(label) else f'{names[label]} ({label})' for label in empty)
    counted = f'{len(empty)} of {len(names)} classes {"have" if len(empty) > 1 else "has"} no image: {shown}'
    return f'{counted}; labels that count from 1 have to be less by 1' if shown == '0' else counted
