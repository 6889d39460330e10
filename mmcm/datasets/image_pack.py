"""Image pack: images in one npz file, of `mmcm pack`, `mmcm sample`, ADM's reference batches or other programs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcm.datasets.image_arrays import MappedImages, file_digest
from mmcm.datasets.image_dataset import MAX_LABEL
from mmcm.registry import DATASETS
from mmcm.utils.bounded import Unreadable, parse_json
from mmcm.utils.errors import InputError
from mmcm.utils.npz import REPAIR, NpzFile, open_npz

IMAGES, LABELS = 'arr_0', 'arr_1'  # names that numpy.savez gives to arrays without names
NOTES = 'dataset.json'


@DATASETS.register_module()
class ImagePack(MappedImages):
    """The images `arr_0` of an npz file, uint8 (N, H, W, C), RGB or grey, with the labels `arr_1`, integers (N,).

    Stored arrays are mapped: they need not fit into memory, and all processes of a machine share them. Compressed
    arrays are read into memory.

    Args:
        data_file (str): The file.
        labelled (bool): Whether images carry their class as a label.
        flip, pipeline: See ImageArrays.

    Attributes:
        notes (dict): The content of `dataset.json` in the file, empty if there is none.

    Raises:
        InputError: If the file is missing or damaged, holds no such images, or no labels although `labelled` is True.
    """

    def __init__(
        self, data_file: str | Path, labelled: bool = True, flip: bool = False, pipeline: Sequence[dict] | None = None
    ) -> None:
        self.path = Path(data_file)
        file = open_npz(self.path)
        self.notes = read_notes(file)
        parts = self.map_parts()
        labels = read_labels(file, len(parts[0])) if labelled else None
        classes = self.notes.get('classes') or [str(label) for label in range(_count(labels))]
        if _count(labels) > len(classes):
            raise InputError(
                f'{self.path} has labels up to {_count(labels) - 1}, but names {len(classes)} classes in '
                f'{NOTES}: write the file again.'
            )
        super().__init__(parts, labels, classes, 'image_pack', labelled, flip, pipeline)

    @property
    def content_digest(self) -> str:
        """See ImageArrays: the digest in the notes, else that of path, size and time."""
        digests = self.notes.get('sha256')
        if digests is None:
            return file_digest([self.path])
        return hashlib.sha256(json.dumps([self.image_shape, digests], sort_keys=True).encode()).hexdigest()

    def map_parts(self) -> list[Tensor]:
        """See MappedImages."""
        return [torch.from_numpy(read_images(open_npz(self.path))).permute(0, 3, 1, 2)]

    def source_of(self, index: int) -> str:
        """See ImageDataset."""
        return f'image {index % self.num_images} of {self.path}'


def read_images(file: NpzFile) -> np.ndarray:
    """Return the images of `file`, uint8 (N, H, W, C); an InputError if there are none."""
    images = file[IMAGES]
    if images.dtype != np.uint8:
        raise InputError(
            f'{IMAGES} in {file.path} has values of type {images.dtype}: uint8, from 0 to 255, is '
            'expected. Convert the images, those in [0, 1] by (255 * x).round().astype(np.uint8).'
        )
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise InputError(
            f'{IMAGES} in {file.path} has the shape {images.shape}: (N, H, W, C) is expected, at least '
            f'one image, with 3 channels, RGB, or 1. {_repair(images.shape)}'
        )
    return images


def _repair(shape: tuple[int, ...]) -> str:
    """Return advice on how to make images of an array x of a wrong shape."""
    if 0 in shape:
        return 'It is empty: write the images again.'
    for fits, what, change in (
        (len(shape) == 4 and shape[1] in (1, 3), 'the channels are first', 'x.transpose(0, 2, 3, 1)'),
        (
            len(shape) == 4 and shape[3] == 4,
            'these are RGBA',
            '255 - ((255.0 - x[..., :3]) * x[..., 3:] / 255).round().astype(np.uint8)',
        ),
        (len(shape) == 3 and shape[2] in (1, 3), 'this is one image', 'x[None]'),
        (len(shape) == 3, 'these are grey images', 'x[..., None]'),
    ):
        if fits:
            return f'If {what}, write {change} in place of x.'
    return 'Write such an array in its place.'


def read_labels(file: NpzFile, num_images: int) -> np.ndarray:
    """Return the labels of `file`, (N,); an InputError if there are none, or not one for each image."""
    if LABELS not in file:
        raise InputError(f'{file.path} has no labels ({LABELS}): set labelled=False.')
    labels = file[LABELS]
    if labels.dtype.kind not in 'iu' or labels.shape != (num_images,):
        raise InputError(
            f'{LABELS} in {file.path} are {labels.dtype} of the shape {labels.shape}: integers of the shape '
            f'({num_images},) are expected, a class for each image. Correct the file, or set labelled=False.'
        )
    for label in (labels.min(), labels.max()):
        if not 0 <= label <= MAX_LABEL:
            raise InputError(
                f'{LABELS} in {file.path} has the label {label}: classes count from 0, up to {MAX_LABEL}. '
                'Correct the file, or set labelled=False.'
            )
    return labels


def read_notes(file: NpzFile) -> dict[str, Any]:
    """Return the content of `dataset.json` in `file`, empty if there is none."""
    if NOTES not in file.entries:
        return {}
    try:
        notes = parse_json(file.read(NOTES))
        if not isinstance(notes, dict):
            raise Unreadable('it is no dictionary')
        check_notes(notes)
        return notes
    except Unreadable as error:
        raise InputError(f'{NOTES} in {file.path} is damaged ({error}). {REPAIR}') from error


def check_notes(notes: dict[str, Any]) -> None:
    """Raise Unreadable if the classes or the digests in `notes` are of another type."""
    classes, digests = notes.get('classes'), notes.get('sha256')
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise Unreadable('its classes are no list of names')
    if digests is not None and not isinstance(digests, (dict, str)):
        raise Unreadable('its sha256 is none')


def _count(labels: np.ndarray | None) -> int:
    return 0 if labels is None else int(labels.max()) + 1
