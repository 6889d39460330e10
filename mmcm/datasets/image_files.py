"""Base of data sets of image files in a folder or zip file."""

import hashlib
from collections.abc import Sequence

import numpy as np

from mmcm.datasets.encoded_images import EncodedImages
from mmcm.datasets.formats.archive import StoredImages
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import SUFFIXES
from mmcm.utils.log import log_warning


class ImageFiles(EncodedImages):
    """Images in a folder or a zip file.

    Args:
        files (StoredImages): The files.
        labels, classes, dataset_type, flip: See ImageDataset.
        pipeline, background: See EncodedImages.
    """

    def __init__(
        self,
        files: StoredImages,
        labels: Sequence[int] | np.ndarray | None,
        classes: Sequence[str],
        dataset_type: str,
        pipeline: Sequence[dict],
        flip: bool = False,
        background: str = DEFAULT_BACKGROUND,
    ) -> None:
        super().__init__(len(files.names), labels, classes, dataset_type, pipeline, flip, background)
        self.files = files

    @property
    def fingerprint(self) -> str:
        """See ImageDataset: of the place, names and states of the files, and of the processing."""
        processing = (self.files.place, self.pipeline_config, self.flip, self.transparency.background)
        sha = hashlib.sha256(repr(processing).encode())
        for position, name in enumerate(self.files.names):
            sha.update(b'%s\n%s\n' % (name, self.files.state(position).encode()))
        return sha.hexdigest()

    def name_of(self, position: int) -> bytes:
        """See ImageDataset: the name of the file, with its folders below the place of all files."""
        return self.files.names[position]

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return self.files.source_of(index % self.num_images)

    def sample(self, position: int) -> dict:
        """See EncodedImages."""
        return self.files.sample(position)


def no_images(place: object) -> InputError:
    """Return the error of a place without images."""
    return InputError(
        f'{place} holds no images ({", ".join(SUFFIXES)}): put them there, or name the folder or the zip '
        'that they are in.'
    )


def log_remarks(place: object, remarks: Sequence[str]) -> None:
    """Log the remarks on reading the files at `place` in one line, if there are any."""
    if remarks:
        log_warning(f'{place}: {"; ".join(remarks)}')
