"""Images that all fit into memory."""
from collections.abc import Sequence
from typing import Optional

import numpy as np
from mmengine.dataset import Compose
from torch import Tensor

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.registry import TRANSFORMS


class InMemoryDataset(ImageDataset):
    """Images in one tensor.

    Args:
        images (Tensor): (N, C, H, W), uint8, RGB where C is 3.
        labels, classes, dataset_type: See ImageDataset.
        labelled (bool): Whether images carry their class as a label.
        flip (bool): Whether the mirror images belong to the data set, too: item N + i is image i, its left and right
            exchanged. To the learner, that is a flip with probability 0.5, but there is nothing random in it, so that
            a resumed run sees what it would have seen.
        pipeline (Sequence[dict], optional): Transforms, from `img` (H, W, C), uint8, BGR as mmcv has it, and
            `gt_label` to what the collate function takes; `PackImage` has to be the last one. Without any, images are
            handed out as they are, which costs next to nothing.
    """

    def __init__(self,
                 images: Tensor,
                 labels: Sequence[int],
                 classes: Sequence[str],
                 dataset_type: str,
                 labelled: bool = True,
                 flip: bool = False,
                 pipeline: Optional[Sequence[dict]] = None) -> None:
        if not labelled:
            labels, classes = [None] * len(images), ()
        super().__init__([*labels] * (2 if flip else 1), classes, dataset_type)
        self.images = images
        self.pipeline = None if pipeline is None else Compose([TRANSFORMS.build(transform) for transform in pipeline])

    def __getitem__(self, index: int) -> dict:
        """Return `inputs`, uint8 (C, H, W), and `gt_label`, an int or None; with a pipeline, what that makes of it."""
        mirrored, position = divmod(range(len(self))[index], len(self.images))
        image, label = self.images[position], self.labels[index]
        if mirrored:
            image = image.flip(-1)
        if self.pipeline is None:
            return dict(inputs=image, gt_label=label)
        return self.pipeline(dict(img=np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy()), gt_label=label))
