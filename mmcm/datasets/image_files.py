"""Images that lie in files, each read when it is asked for."""
import hashlib
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
        labels, classes, dataset_type, flip: See ImageDataset.
        pipeline (Sequence[dict]): Transforms, from `img_path` to `inputs`.
    """

    def __init__(self,
                 paths: Sequence[Union[str, Path]],
                 labels: Optional[Sequence[int]],
                 classes: Sequence[str],
                 dataset_type: str,
                 pipeline: Sequence[dict],
                 flip: bool = False) -> None:
        super().__init__(len(paths), labels, classes, dataset_type, flip)
        self.paths = [str(path) for path in paths]
        self.pipeline_config = list(pipeline)
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: names, sizes and times of the files, and what is made of them."""
        sha = hashlib.sha256(repr(self.pipeline_config).encode())
        for path in self.paths:
            status = Path(path).stat()
            sha.update(f'{path} {status.st_size} {status.st_mtime_ns}\n'.encode())
        return sha.hexdigest()

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return self.paths[index % self.num_images]

    def read(self, position: int) -> dict:
        """Return what the pipeline makes of an image."""
        return self.pipeline(dict(img_path=self.paths[position]))


def find_images(folder: Path) -> list[Path]:
    """Return the paths of all images below `folder`, sorted."""
    return sorted(path for path in folder.rglob('*') if path.suffix.lower() in SUFFIXES)
