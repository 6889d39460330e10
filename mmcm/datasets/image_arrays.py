"""Images that lie in arrays: in memory, or in files that are mapped into it."""

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
        parts (Sequence[Tensor]): Each (N_k, C, H, W), uint8, RGB where C is 3, in this order; views of other layouts
            may be given, such as of (N_k, H, W, C).
        labels, classes, dataset_type, flip: See ImageDataset.
        labelled (bool): Whether images carry their class as a label.
        pipeline (Sequence[dict], optional): Transforms, from `img` (H, W, C), uint8, BGR as mmcv has it, to `inputs`;
            `PackImage` has to be the last one. Without any, images are handed out as they are, a batch at a time,
            which costs next to nothing.
    """

    def __init__(
        self,
        parts: Sequence[Tensor],
        labels: Sequence[int] | None,
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
        """All images, (N, C, H, W): no copy where they lie in one tensor."""
        return self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of the images, before the pipeline."""
        return tuple(self.parts[0].shape[1:])

    @property
    def content_digest(self) -> str:
        """What tells the values from all others, in hexadecimal digits."""
        sha = hashlib.sha256(repr((self.num_images, self.image_shape)).encode())
        for part in self.parts:
            for block in part.split(HASHED_AT_ONCE):
                sha.update(block.contiguous().numpy())
        return sha.hexdigest()

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: of the values, and of what is made of them."""
        return hashlib.sha256(repr((self.content_digest, self.flip, self.pipeline_config)).encode()).hexdigest()

    def read(self, position: int) -> dict:
        """Return image `position`, or what the pipeline makes of it."""
        part = int(np.searchsorted(self.ends, position, side='right'))
        image = self.parts[part][position - int(self.ends[part])]  # counted from its end
        if self.pipeline is None:
            return dict(inputs=image.contiguous())
        return self.pipeline(dict(img=np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())))

    def __getitems__(self, indices: Sequence[int]) -> object:
        """Return a batch, as DataLoader asks for it: one dictionary of stacked values, or with a pipeline a list."""
        if self.pipeline is not None:
            return [self[index] for index in indices]
        indices = np.asarray(indices)
        mirrored, positions = np.divmod(indices, self.num_images)
        inputs = self.gathered(positions)
        if mirrored.any():
            pixels, chosen = inputs.numpy(), mirrored > 0
            pixels[chosen] = torch.from_numpy(pixels[chosen]).flip(-1).numpy()
        return dict(inputs=inputs, gt_label=None if self.labels is None else torch.from_numpy(self.labels[indices]))

    def gathered(self, positions: np.ndarray) -> Tensor:
        """Return a copy of the images at `positions`, (B, C, H, W)."""
        # index_select goes over whole rows, and so does NumPy; indexing by a tensor is several times as slow.
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
    """Images in files that are mapped: every process maps them for itself, whatever way it is started.

    Args: See ImageArrays; `parts` has to be what `map_parts` returns.
    """

    @abstractmethod
    def map_parts(self) -> list[Tensor]:
        """Return the parts, here and in any process that the data set is sent to."""

    def __getstate__(self) -> dict:
        """Leave the images out, which would be copied."""
        return {key: value for key, value in vars(self).items() if key != 'parts'}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self.parts = self.map_parts()


def file_digest(paths: Sequence[Path]) -> str:
    """Return what tells files from all others without their being read: of their names, sizes and times."""
    sha = hashlib.sha256()
    for path in paths:
        status = path.stat()
        sha.update(f'{path.absolute()} {status.st_size} {status.st_mtime_ns}\n'.encode(errors='surrogateescape'))
    return sha.hexdigest()
