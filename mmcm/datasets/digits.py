"""Digits, the data set in this package: 1797 handwritten digits of 8 x 8 pixels.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0; the
part that scikit-learn distributes as `load_digits`, in its order.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from mmcm.datasets.image_arrays import ImageArrays
from mmcm.registry import DATASETS
from mmcm.utils.checks import check_choice

FILE = Path(__file__).parent / 'data' / 'digits.npz'
BRIGHTEST = 16  # the file's grey levels are 0 to 16


@DATASETS.register_module()
class DigitsDataset(ImageArrays):
    """Images of 1 x 8 x 8, uint8 from 0 (paper) to 255 (ink), with labels 0 to 9.

    Args:
        split (str): 'all', or the halves 'train' (even indices) and 'test' (odd indices). Neighbours in the file are by
            the same writer, so both halves contain the same hands.
    """

    held_out_split: ClassVar = 'test'
    splits: ClassVar = dict(all=slice(None), train=slice(0, None, 2), test=slice(1, None, 2))

    def __init__(self, split: str = 'all') -> None:
        check_choice('split', split, tuple(self.splits))
        with np.load(FILE) as file:
            images, labels = file['images'][self.splits[split]], file['labels'][self.splits[split]]
        levels = np.round(np.arange(BRIGHTEST + 1) * (255 / BRIGHTEST)).astype(np.uint8)
        super().__init__([torch.from_numpy(levels[images])[:, None]], labels, tuple('0123456789'), 'digits')
