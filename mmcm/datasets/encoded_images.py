"""Base of data sets whose images are decoded by a pipeline, one at a time."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from mmengine.dataset import Compose

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.datasets.transparency import Transparency
from mmcm.registry import TRANSFORMS


class EncodedImages(ImageDataset):
    """Images that are decoded when they are read.

    Args:
        num_images, labels, classes, dataset_type, flip: See ImageDataset.
        pipeline (Sequence[dict]): Transforms, from `img_path` (and `img_bytes`) to `inputs`.
        background (str): Colour behind transparent images, a name ('white') or '#rrggbb'; 'none' drops their alpha
            channel.
    """

    transparency: Transparency

    def __init__(
        self,
        num_images: int,
        labels: Sequence[int] | np.ndarray | None,
        classes: Sequence[str],
        dataset_type: str,
        pipeline: Sequence[dict],
        flip: bool = False,
        background: str = DEFAULT_BACKGROUND,
    ) -> None:
        super().__init__(num_images, labels, classes, dataset_type, flip)
        self.transparency = Transparency(background, num_images)
        self.pipeline_config = list(pipeline)
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])

    @abstractmethod
    def sample(self, position: int) -> dict:
        """Return the input of the pipeline: `img_path`, and `img_bytes` if that is no path of a file."""

    def read(self, position: int) -> dict:
        """Return the output of the pipeline for an image."""
        return self.transparency.read(self.pipeline, self.sample(position), position)
