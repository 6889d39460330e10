"""Hold out images of a data set that has no test images of its own."""

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.transparency import Transparency
from mmcm.registry import DATASETS
from mmcm.utils.checks import check_choice, check_number
from mmcm.utils.errors import InputError

SPLITS = ('train', 'held_out')
HASH_VALUES = 2**64


@DATASETS.register_module()
class ImageSplit(ImageDataset):
    """Images of another data set: those to train on, or those that are held out for validation.

    The SHA-256 of an image's name decides: the name of its file below `data_root`, or its number in a data set of
    arrays. So an image stays on its side when images are added, when files are listed in another order, and on every
    machine. Classes and labels are those of all images. Copies of an image under several names may lie on both sides.

    Args:
        dataset (dict): Config of the data set with all images.
        split (str): 'train' or 'held_out'.
        held_out (float): Expected fraction of the images that are held out, above 0 and below 1.

    Raises:
        InputError: If a side has no image, or images of the data set overlap, as those of PhotoPatches do.
    """

    held_out_split: ClassVar = 'held_out'

    def __init__(self, dataset: dict, split: str = 'train', held_out: float = 0.05) -> None:
        check_choice('split', split, SPLITS)
        check_number('held_out', held_out)
        if not 0 < held_out < 1:
            raise InputError(f'held_out has to be a fraction above 0 and below 1, got {held_out!r}.')
        whole = DATASETS.build(dataset)
        if not isinstance(whole, ImageDataset):
            raise InputError(
                f'dataset has to be a data set of images, such as ImageFolder, got {type(whole).__name__}.'
            )
        if len(whole.apart) < whole.num_images:
            raise InputError(
                f'images of {type(whole).__name__} overlap, so pixels of held-out images would be trained on: leave '
                "ImageSplit out, and set the split of the data set, split='train'."
            )
        sides = is_held_out([whole.name_of(position) for position in range(whole.num_images)], held_out)
        self.positions = np.flatnonzero(sides == (split == 'held_out'))
        if not len(self.positions):
            raise InputError(
                f'held_out={held_out} leaves none of {whole.num_images} images for {split!r}: choose another fraction.'
            )
        self.whole = whole
        self.side = (split, held_out)
        labels = None if whole.labels is None else whole.labels[self.positions]
        super().__init__(
            len(self.positions), labels, whole.metainfo['classes'], str(whole.metainfo['dataset_type']), whole.flip
        )

    @property
    def transparency(self) -> Transparency | None:  # type: ignore[override]
        """See ImageDataset."""
        return self.whole.transparency

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: of all images, and of the split."""
        return hashlib.sha256(repr((self.whole.fingerprint, self.side)).encode()).hexdigest()

    def name_of(self, position: int) -> bytes:
        """See ImageDataset."""
        return self.whole.name_of(int(self.positions[position]))

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return self.whole.source_of(self.index_in_whole(index))

    def read(self, position: int) -> dict:
        """See ImageDataset."""
        return self.whole.read(int(self.positions[position]))

    def index_in_whole(self, index: int) -> int:
        """Return the index, in the data set with all images, of item `index`."""
        mirrored, position = divmod(range(len(self))[index], self.num_images)
        return int(self.positions[position]) + mirrored * self.whole.num_images

    def __getitem__(self, index: int) -> dict:
        """See ImageDataset."""
        return self.whole[self.index_in_whole(index)]

    def __getitems__(self, indices: Sequence[int]) -> object:
        """Return a batch for DataLoader, as the data set with all images does."""
        items = [self.index_in_whole(index) for index in indices]
        batch = getattr(self.whole, '__getitems__', None)
        return [self.whole[item] for item in items] if batch is None else batch(items)


def is_held_out(names: Sequence[bytes], fraction: float) -> np.ndarray:
    """Return which of the images `names` are held out, bool, (N,)."""
    limit = int(fraction * HASH_VALUES)
    return np.fromiter(
        (int.from_bytes(hashlib.sha256(name).digest()[:8], 'big') < limit for name in names), bool, len(names)
    )
