"""Bases of data sets whose images are arrays, in memory or in mapped files."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from torch import Tensor

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.registry import TRANSFORMS

HASHED_AT_ONCE = 1024  # images


class ImageArrays(ImageDataset):
    """Images in one tensor or several.

    Args:
        parts (Sequence[Tensor]): Each (N_k, C, H, W), uint8, RGB if C is 3, in this order; views of other layouts, such
            as of (N_k, H, W, C), are allowed.
        labels, classes, dataset_type, flip: See ImageDataset.
        labelled (bool): Whether images have their class as a label.
        pipeline (Sequence[dict], optional): Transforms, from `img` (H, W, C), uint8, BGR as in mmcv, to `inputs`;
            `PackImage` has to be the last one. Without a pipeline, images are returned unchanged, a batch at a time,
            at almost no cost.
    """

    def __init__(
        self,
        parts: Sequence[Tensor],
        labels: Sequence[int] | np.ndarray | None,
        classes: Sequence[str],
        dataset_type: str,
        labelled: bool = True,
        flip: bool = False,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])
        super().__init__(int(self.ends[-1]), labels if labelled else None, classes, dataset_type, flip)
        self.pipeline_config = pipeline
        self.pipeline = None if pipeline is None else Compose([TRANSFORMS.build(transform) for transform in pipeline])

    @property
    def images(self) -> Tensor:
        """All images, (N, C, H, W); no copy if they are one tensor."""
        return self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of the images, before the pipeline."""
        channels, height, width = self.parts[0].shape[1:]
        return channels, height, width

    @property
    def content_digest(self) -> str:
        """Digest of the values, in hexadecimal digits."""
        sha = hashlib.sha256(repr((self.num_images, self.image_shape)).encode())
        for part in self.parts:
            for block in part.split(HASHED_AT_ONCE):
                sha.update(block.contiguous().numpy().data)
        return sha.hexdigest()

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: of the values and of the processing."""
        return hashlib.sha256(repr((self.content_digest, self.flip, self.pipeline_config)).encode()).hexdigest()

    def read(self, position: int) -> dict:
        """Return image `position`, or the output of the pipeline for it."""
        part, row = self.place_of(position)
        image = self.parts[part][row]
        if self.pipeline is None:
            return dict(inputs=image.contiguous())
        return self.pipeline(dict(img=np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())))

    def place_of(self, position: int) -> tuple[int, int]:
        """Return the part of image `position`, and its index in the part."""
        part = int(np.searchsorted(self.ends, position, side='right'))
        return part, position - int(self.ends[part]) + len(self.parts[part])

    def __getitems__(self, indices: Sequence[int]) -> object:
        """Return a batch for DataLoader: one dictionary of stacked values, or with a pipeline a list."""
        if self.pipeline is not None:
            return [self[index] for index in indices]
        items = np.asarray(indices)
        mirrored, positions = np.divmod(items, self.num_images)
        inputs = self.gathered(positions)
        if mirrored.any():
            pixels, chosen = inputs.numpy(), mirrored > 0
            pixels[chosen] = torch.from_numpy(pixels[chosen]).flip(-1).numpy()
        return dict(inputs=inputs, gt_label=None if self.labels is None else torch.from_numpy(self.labels[items]))

    def gathered(self, positions: np.ndarray) -> Tensor:
        """Return a copy of the images at `positions`, (B, C, H, W)."""
        # index_select and NumPy copy whole rows; indexing by a tensor is several times slower.
        if len(self.parts) == 1:
            return self.parts[0].index_select(0, torch.from_numpy(positions)).contiguous()
        images = torch.empty(len(positions), *self.image_shape, dtype=torch.uint8, device='cpu')
        places = np.searchsorted(self.ends, positions, side='right')
        for place in np.unique(places):
            chosen = places == place
            part, first = self.parts[place], self.ends[place] - len(self.parts[place])
            rows = part.index_select(0, torch.from_numpy(positions[chosen] - first))
            images.numpy()[chosen] = rows.numpy()
        return images


class MappedImages(ImageArrays):
    """Images in mapped files; each process maps them itself, whether it is forked or spawned.

    Args: See ImageArrays; `parts` has to be the result of `map_parts`.
    """

    @abstractmethod
    def map_parts(self) -> list[Tensor]:
        """Return the parts, in this process and in any that the data set is sent to."""

    def __getstate__(self) -> dict:
        """Leave out the images, which would be copied."""
        return {key: value for key, value in vars(self).items() if key != 'parts'}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.parts = self.map_parts()


def file_digest(paths: Sequence[Path]) -> str:
    """Return a digest of the names, sizes and times of files, without reading them."""
    sha = hashlib.sha256()
    for path in paths:
        status = path.stat()
        sha.update(f'{path.absolute()} {status.st_size} {status.st_mtime_ns}\n'.encode(errors='surrogateescape'))
    return sha.hexdigest()
