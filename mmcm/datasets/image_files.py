"""Images that lie in files, each read when it is asked for."""
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from mmengine.dataset import Compose

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.registry import TRANSFORMS

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


class ImageFiles(ImageDataset):
    """Images at `paths`.

    Args:
        paths (Sequence[str | Path]): The files.
        labels, classes, dataset_type: See ImageDataset.
        pipeline (Sequence[dict]): Transforms, from `img_path` and `gt_label` to what the collate function takes.
    """

    def __init__(self, paths: Sequence[Union[str, Path]], labels: Sequence[Optional[int]], classes: Sequence[str],
                 dataset_type: str, pipeline: Sequence[dict]) -> None:
        super().__init__(labels, classes, dataset_type)
        self.paths = [str(path) for path in paths]
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])

    def __getitem__(self, index: int) -> dict:
        """Return what the pipeline makes of image `index`."""
        return self.pipeline(dict(img_path=self.paths[index], gt_label=self.labels[index]))


def find_images(folder: Path) -> list[Path]:
    """Return the paths of all images below `folder`, sorted."""
    return sorted(path for path in folder.rglob('*') if path.suffix.lower() in SUFFIXES)
