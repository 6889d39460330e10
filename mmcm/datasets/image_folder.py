"""Data set of the images in a folder or zip file, with or without classes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcm.datasets.class_names import own_names
from mmcm.datasets.formats.image_archive import Archive, StoredImages, open_archive
from mmcm.datasets.formats.image_names import LABELS_FILE, composed, is_image, listed, odd_classes, plain_path, shown
from mmcm.datasets.formats.packed_names import PackedNames
from mmcm.datasets.image_dataset import MAX_LABEL
from mmcm.datasets.image_files import ImageFiles, log_remarks, no_images
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.registry import DATASETS
from mmcm.utils.bounded import JSON_BYTES, JSON_VALUES, Unreadable, parse_json
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError

LABEL_BYTES = 64  # of an entry in dataset.json, beside the name
WAYS = ('folder', 'file_name')  # sources of the class of an image


@DATASETS.register_module()
class ImageFolder(ImageFiles):
    """All images in a folder, at any depth, or in a zip file.

    Classes come from the first available of these sources:

    - with `classes_from='file_name'`, the part of a file name before its first underscore;
    - `dataset.json`, which StyleGAN (Karras et al., 2020) and EDM (2022) write beside the images:
      `{"labels": [["00000/img00000000.png", 6], ...]}`, the label of each image, 0, 1, ...;
    - the names of the subfolders: for ImageNet the 1000 wnids, in the order of the labels of the released models.

    Names, sorted by code points, are the classes 0, 1, ...; an empty subfolder is a class, too. Single folders around
    the subfolders or `dataset.json` are skipped. Images beside the subfolders are left out if they are fewer than the
    subfolders; one line of the log says so.

    Args:
        data_root (str): The folder, or a `.zip`.
        pipeline (Sequence[dict]): Transforms, from `img_path` (and `img_bytes`, from a zip file) to `inputs`.
        labelled (bool): Whether images have their class as a label.
        flip (bool): See ImageDataset.
        classes_from (str): 'folder' or 'file_name'.
        background (str): See EncodedImages.

    Raises:
        InputError: If there are no images, or with `labelled` not one class for each.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict],
        labelled: bool = True,
        flip: bool = False,
        classes_from: str = 'folder',
        background: str = DEFAULT_BACKGROUND,
    ) -> None:
        check_choice('classes_from', classes_from, WAYS)
        archive = open_archive(data_root, 'set data_root to where the images lie.')
        labels: np.ndarray | None = None
        classes: tuple[str, ...] = ()
        remarks: list[str] = []
        if labelled and classes_from == 'folder':
            archive.look_through()
        files = archive.images()
        if not len(files.names):
            raise no_images(data_root)
        if labelled and classes_from == 'file_name':
            labels, classes = labels_by_file_name(files.names, archive)
        elif labelled:
            stated = archive.read(LABELS_FILE, labels_bytes(files.names))
            if stated is not None:
                labels = read_labels(stated, files.names, Path(archive.place) / LABELS_FILE)
                classes = tuple(map(str, range(labels.max() + 1)))
            else:
                files, remarks = without_loose_images(archive, files)
                labels, classes = labels_by_folder(files.names, archive.folders())
        log_remarks(data_root, remarks + remarks_on(archive, classes))
        super().__init__(files, labels, classes, 'image_folder', pipeline, flip, background)


def without_loose_images(archive: Archive, files: StoredImages) -> tuple[StoredImages, list[str]]:
    """Return those of `files` in the folders of classes, and remarks on the others.

    Raises:
        InputError: If there are at least as many others as folders with images.
    """
    loose = archive.loose_images()
    if not loose:
        return files, []
    if len(loose) >= len(set(archive.image_folders())):
        raise InputError(
            f'{archive.place}/{loose[0]} lies in no subfolder, so it has no class{among(loose)}: sort the '
            'images into one subfolder per class, or set labelled=False, or, if names of files begin with '
            "it, classes_from='file_name'."
        )
    images = f'{len(loose)} image{"s" * (len(loose) > 1)} beside the folders of classes ({listed(loose)})'
    return archive.images(archive.folders()), [f'left out {images}, which labelled=False would take, without classes']


def among(names: Sequence[str]) -> str:
    """Return the number of names after the first, in words."""
    return f', and so do {len(names) - 1} others' if len(names) > 1 else ''


def remarks_on(archive: Archive, classes: Sequence[str]) -> list[str]:
    """Return remarks on `classes` and on the files of `archive` that `images` left out."""
    remarks = odd_classes(own_names(classes))
    if archive.prefix:
        remarks.append(f'the classes are those in {shown(archive.prefix)}')
    return remarks + archive.remarks()


def labels_by_folder(names: PackedNames, folders: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the labels and the names of the classes of images in the subfolders `folders`."""
    classes = sorted(set(map(composed, folders)))
    index = {name: label for label, name in enumerate(classes)}
    label_of = {os.fsencode(folder): index[composed(folder)] for folder in folders}
    return np.fromiter((label_of[name.partition(b'/')[0]] for name in names), np.int64, len(names)), tuple(classes)


def labels_by_file_name(names: PackedNames, archive: Archive) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the labels and the names of the classes from the beginnings of file names.

    Images in unsupported formats contribute to the classes, too.
    """
    found = []
    for name in names:
        first, separated, _ = composed(os.fsdecode(name).rpartition('/')[2]).partition('_')
        if not separated:
            raise InputError(
                f'{archive.place}/{os.fsdecode(name)} has no underscore in its name, so it has no class: '
                'class_name.jpg is expected, or set labelled=False.'
            )
        found.append(first)
    others = [composed(name.rpartition('/')[2]).partition('_') for name in archive.left_out.images]
    classes = sorted({*found, *(first for first, separated, _ in others if separated)})
    index = {name: label for label, name in enumerate(classes)}
    return np.fromiter((index[name] for name in found), np.int64, len(found)), tuple(classes)


def read_labels(content: bytes, names: PackedNames, path: Path) -> np.ndarray:
    """Return the labels (N,), int64, of the images `names` from the `content` of the file `path`.

    Raises:
        InputError: If it is no such file, or does not have exactly one label for each of the images.
    """
    expected = '{"labels": [["00000/img00000000.png", 6], ...]} is expected, the file and the label of each image.'
    try:
        stated = parse_json(content, labels_bytes(names), JSON_VALUES + 3 * len(names))['labels']
        if stated is None:
            raise InputError(f'{path} has no labels: set labelled=False.')
        pairs = [(plain_path(str(name)), label) for name, label in stated]
    except InputError:
        raise
    except Unreadable as error:
        raise InputError(f'{path} is no list of labels, {error}: {expected}') from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f'{path} is no list of labels: {expected}') from error
    labelled = [label is not None for _, label in pairs]
    if pairs and not any(labelled):
        raise InputError(f'{path} has no labels: set labelled=False.')
    labels = {name: check_label(label, name, path) for name, label in pairs}
    if len(labels) < len(pairs):
        raise InputError(f'{path} names an image twice: one label for each is expected.')
    there = [composed(os.fsdecode(name)) for name in names]
    missing = [name for name in there if name not in labels]
    if missing:
        raise InputError(
            f'{path} leaves out {len(missing)} of {len(names)} images, {missing[0]} first: add their '
            'labels, or set labelled=False.'
        )
    if len(labels) > len(there):
        extra = min(labels.keys() - set(there))
        way = (
            'get them, or take them out'
            if is_image(extra)
            else ('save them in a format that is read, such as PNG, or take them out')
        )
        raise InputError(
            f'{path} names {len(labels) - len(there)} images that are not there, among them {extra}: {way}.'
        )
    return np.fromiter((labels[name] for name in there), np.int64, len(there))


def labels_bytes(names: PackedNames) -> int:
    """Return the largest size of the file of labels: JSON may take six bytes for one of a name."""
    return JSON_BYTES + 6 * len(names.content) + LABEL_BYTES * len(names)


def check_label(label: Any, name: str, path: Path) -> int:
    """Return `label` if it is an integer from 0 to `MAX_LABEL`; else raise an InputError."""
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label <= MAX_LABEL:
        what = 'no label' if label is None else f'the label {label!r}'
        raise InputError(
            f'{path} gives {name} {what}: an integer from 0 to {MAX_LABEL} is expected, for all images or for none.'
        )
    return label
