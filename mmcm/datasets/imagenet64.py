"""ImageNet at 64 x 64 pixels, scaled down by its publishers (Chrabaszcz et al., 2017, arXiv 1707.08819)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mmcm.datasets.image_arrays import MappedImages, file_digest
from mmcm.registry import DATASETS
from mmcm.utils.bounded import read_text
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError
from mmcm.utils.log import log_warning
from mmcm.utils.npz import open_npz

PAGE = 'https://image-net.org/download-images.php'
NUM_CLASSES = 1000
CLASS_FILE = 'map_clsloc.txt'
SPLITS = dict(train=tuple(f'train_data_batch_{number}.npz' for number in range(1, 11)), val=('val_data.npz',))


@DATASETS.register_module()
class ImageNet64(MappedImages):
    """The npz files of the downsampled ImageNet, mapped; 3 x 64 x 64 or, for other sizes, 3 x S x S.

    An image is a row of `data`: all its red values, row by row, then green and blue. `labels` are 1 to 1000, the
    ILSVRC2012_ID of the development kit. That is not the order of the wnids (1 is n02119789, the kit fox), which
    defines the labels of the released models and of `ImageFolder`. With `map_clsloc.txt` of that kit in `data_root`
    (lines such as `n02119789 1 kit_fox`), labels are those of the sorted wnids, 0 to 999. Without it, they are
    ILSVRC2012_ID - 1, which suffices for training from scratch, but neither for released weights nor for names of
    classes.

    Args:
        data_root (str): The folder of `train_data_batch_1.npz` to `_10.npz`, or of `val_data.npz`.
        split (str): 'train', 1 281 167 images, or 'val', 50 000.
        labelled, flip, pipeline: See ImageArrays.

    Raises:
        InputError: If a file is missing, damaged or of another kind.
    """

    held_out_split: ClassVar = 'val'

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        labelled: bool = True,
        flip: bool = False,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        check_choice('split', split, tuple(SPLITS))
        root = Path(data_root)
        self.paths = [root / name for name in SPLITS[split]]
        missing = [path.name for path in self.paths if not path.is_file()]
        if missing:
            raise InputError(
                f'{root} lacks {", ".join(missing)}: unpack the npz files of the downsampled ImageNet '
                f'({PAGE}) into data_root.'
            )
        parts = self.map_parts()
        labels: np.ndarray | None = None
        classes: tuple[str, ...] = ()
        if labelled:
            labels = np.concatenate([read_labels(path, len(part)) for path, part in zip(self.paths, parts)])
            classes = tuple(str(number) for number in range(1, NUM_CLASSES + 1))
            if (root / CLASS_FILE).is_file():
                wnids = read_wnids(root / CLASS_FILE)
                classes = tuple(sorted(wnids))
                labels = np.argsort(np.argsort(wnids))[labels]  # the rank of each wnid
            else:
                log_warning(
                    f'{root} has no {CLASS_FILE}: classes are numbered as the files have them, not by sorted '
                    'wnids as the released models do.'
                )
        super().__init__(parts, labels, classes, 'imagenet64', labelled, flip, pipeline)

    @property
    def content_digest(self) -> str:
        """See ImageArrays: of names, sizes and times."""
        return file_digest(self.paths)

    def map_parts(self) -> list[Tensor]:
        """See MappedImages."""
        parts = [torch.from_numpy(read_images(path)) for path in self.paths]
        sides = {part.shape[2] for part in parts}
        if len(sides) > 1:
            raise InputError(
                f'the files in {self.paths[0].parent} have images of the sides {sorted(sides)}: put each '
                'size into a folder of its own.'
            )
        return parts

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        part, row = self.place_of(index % self.num_images)
        return f'image {row} of {self.paths[part]}'


def read_images(path: Path) -> np.ndarray:
    """Return `data` of a file as (N, 3, S, S), uint8; raise an InputError if it has another form."""
    data = open_npz(path)['data']
    side = math.isqrt(data.shape[1] // 3) if data.ndim == 2 else 0
    if data.dtype != np.uint8 or not side or not data.size or data.shape[1] != 3 * side**2:
        raise InputError(
            f'data in {path} is {data.dtype} of the shape {data.shape}: uint8 of N x 12288 is expected, '
            f'or N times three squares of another size. Download it again from {PAGE}.'
        )
    return data.reshape(-1, 3, side, side)


def read_labels(path: Path, num_images: int) -> np.ndarray:
    """Return `labels` of a file minus 1, 0 to 999; raise an InputError unless there is one for each image."""
    labels = open_npz(path)['labels']
    if labels.dtype.kind not in 'iu' or labels.shape != (num_images,):
        raise InputError(
            f'labels in {path} are {labels.dtype} of the shape {labels.shape} for {num_images} images: '
            f'an integer for each is expected. Download it again from {PAGE}.'
        )
    if labels.min() < 1 or labels.max() > NUM_CLASSES:
        raise InputError(
            f'labels in {path} go from {labels.min()} to {labels.max()}: 1 to {NUM_CLASSES} is expected. '
            f'Download it again from {PAGE}.'
        )
    return labels.astype(np.int64) - 1


def read_wnids(path: Path) -> list[str]:
    """Return the wnids in the order of their ILSVRC2012_ID; raise an InputError unless the file has them all."""
    try:
        lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
        wnids = {int(line[1]): line[0] for line in lines}
    except (OSError, LookupError, ValueError) as error:
        raise InputError(
            f'{path} cannot be read: lines such as "n02119789 1 kit_fox" are expected. Take it from the '
            'development kit of ILSVRC 2012.'
        ) from error
    if sorted(wnids) != list(range(1, NUM_CLASSES + 1)) or len(set(wnids.values())) != NUM_CLASSES:
        raise InputError(
            f'{path} names {len(set(wnids.values()))} wnids by {len(wnids)} numbers: each of 1 to '
            f'{NUM_CLASSES} is expected once. Take it from the development kit of ILSVRC 2012.'
        )
    return [wnids[number] for number in sorted(wnids)]
