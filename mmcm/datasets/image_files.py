"""Images that lie in files, each read when it is asked for."""

import hashlib
import logging
from collections.abc import Sequence

from mmengine.dataset import Compose
from mmengine.logging import print_log

from mmcm.datasets.formats.image_archive import ImageFolderFiles, ImageZipFiles
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.datasets.transparency import Transparency
from mmcm.registry import TRANSFORMS
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import SUFFIXES


class ImageFiles(ImageDataset):
    """Images in a folder or a zip file.

    Args:
        files (ImageFolderFiles | ImageZipFiles): The files.
        labels, classes, dataset_type, flip: See ImageDataset.
        pipeline (Sequence[dict]): Transforms, from `img_path` (and `img_bytes`) to `inputs`.
        background (str): What transparent images are composited on: a colour, as a name ('white') or '#rrggbb'; 'none'
            leaves their alpha channel out.
    """

    def __init__(
        self,
        files: ImageFolderFiles | ImageZipFiles,
        labels: Sequence[int] | None,
        classes: Sequence[str],
        dataset_type: str,
        pipeline: Sequence[dict],
        flip: bool = False,
        background: str = DEFAULT_BACKGROUND,
    ) -> None:
        super().__init__(len(files.names), labels, classes, dataset_type, flip)
        self.transparency = Transparency(background, self.num_images)
        self.files = files
        self.pipeline_config = list(pipeline)
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: place, names and states of the files, and what is made of them."""
        made = (self.files.place, self.pipeline_config, self.flip, self.transparency.background)
        sha = hashlib.sha256(repr(made).encode())
        for position, name in enumerate(self.files.names):
            sha.update(b'%s\n%s\n' % (name, self.files.state(position).encode()))
        return sha.hexdigest()

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return self.files.source_of(index % self.num_images)

    def read(self, position: int) -> dict:
        """Return what the pipeline makes of an image."""
        return self.transparency.read(self.pipeline, self.files.sample(position), position)


def no_images(place: object) -> InputError:
    """Return the error of a place without images."""
    return InputError(
        f'{place} holds no images ({", ".join(SUFFIXES)}): put them there, or name the folder or the zip '
        'that they are in.'
    )


def log_remarks(place: object, remarks: Sequence[str]) -> None:
    """Log in one line what is to be said of how the files at `place` are read, if anything."""
    if remarks:
        print_log(f'{place}: {"; ".join(remarks)}', 'current', logging.WARNING)
