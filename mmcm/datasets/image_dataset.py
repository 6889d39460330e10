"""What all data sets of images have in common."""
from collections.abc import Sequence
from typing import Optional

from torch.utils.data import Dataset


class ImageDataset(Dataset):
    """Images with or without classes; what their labels are is known without an image being read.

    Args:
        labels (Sequence[int | None]): Class of each image, an index of `classes`; all are None without classes.
        classes (Sequence[str]): Names of the classes; empty where images have none.
        dataset_type (str): Name of the kind of data set, for MMEngine's `metainfo`.
    """

    def __init__(self, labels: Sequence[Optional[int]], classes: Sequence[str], dataset_type: str) -> None:
        self.labels = list(labels)
        self.metainfo = dict(dataset_type=dataset_type, classes=tuple(classes))

    @property
    def num_classes(self) -> Optional[int]:
        """Number of classes, as the network needs it; None where images have none."""
        return len(self.metainfo['classes']) or None

    def __len__(self) -> int:
        return len(self.labels)
