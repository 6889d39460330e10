"""Images that all fit into memory."""
import hashlib
from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch
from mmengine.dataset import Compose
from torch import Tensor

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.registry import TRANSFORMS


class InMemoryDataset(ImageDataset):
    """Images in one tensor.

    Args:
        images (Tensor): (N, C, H, W), uint8, RGB where C is 3.
        labels, classes, dataset_type, flip: See ImageDataset.
        labelled (bool): Whether images carry their class as a label.
        pipeline (Sequence[dict], optional): Transforms, from `img` (H, W, C), uint8, BGR as mmcv has it, to `inputs`;
            `PackImage` has to be the last one. Without any, images are handed out as they are, a batch at a time,
            which costs next to nothing.
    """

    def __init__(self,
                 images: Tensor,
                 labels: Optional[Sequence[int]],
                 classes: Sequence[str],
                 dataset_type: str,
                 labelled: bool = True,
                 flip: bool = False,
                 pipeline: Optional[Sequence[dict]] = None) -> None:
        super().__init__(len(images), labels if labelled else None, classes, dataset_type, flip)
        self.images = images
        self.pipeline_config = pipeline
        self.pipeline = None if pipeline is None else Compose([TRANSFORMS.build(transform) for transform in pipeline])

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: the values, and what is made of them."""
        sha = hashlib.sha256(repr((tuple(self.images.shape), self.pipeline_config)).encode())
        for block in self.images.split(1024):
            sha.update(block.contiguous().numpy())
        return sha.hexdigest()

    def read(self, position: int) -> dict:
        """Return image `position`, or what the pipeline makes of it."""
        image = self.images[position]
        if self.pipeline is None:
            return dict(inputs=image)
        return self.pipeline(dict(img=np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())))

    def __getitems__(self, indices: Sequence[int]) -> object:
        """Return a batch, as DataLoader asks for it: one dictionary of stacked values, or without a pipeline a list."""
        if self.pipeline is not None:
            return [self[index] for index in indices]
        indices = torch.as_tensor(indices)
        inputs = self.images[indices % self.num_images]
        mirrored = indices >= self.num_images
        if self.flip and mirrored.any():
            inputs[mirrored] = inputs[mirrored].flip(-1)
        labels = None if self.labels is None else torch.from_numpy(self.labels)[indices]
        return dict(inputs=inputs, gt_label=labels)
