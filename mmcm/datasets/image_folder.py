"""Images in a folder or a zip file, with or without classes."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcm.datasets.image_archive import open_archive
from mmcm.datasets.image_dataset import MAX_LABEL
from mmcm.datasets.image_files import ImageFiles, no_images
from mmcm.datasets.packed_names import PackedNames
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.registry import DATASETS
from mmcm.utils.bounded import JSON_BYTES, JSON_VALUES, Unreadable, parse_json
from mmcm.utils.errors import InputError

LABELS_FILE = 'dataset.json'
LABEL_BYTES = 64  # of an entry in dataset.json, beside the name
WAYS = ('folder', 'file_name')  # of telling the class of an image


@DATASETS.register_module()
class ImageFolder(ImageFiles):
    """Every image below a folder, or in a zip file.

    Where images have classes, these are told by the first of the following that is there:

    - with `classes_from='file_name'`, what comes before the first underscore of the names of the files;
    - `dataset.json`, as StyleGAN (Karras et al., 2020) and EDM (2022) keep it beside the images:
      `{"labels": [["00000/img00000000.png", 6], ...]}`, the label of each image, 0, 1, ...;
    - the names of the subfolders: for ImageNet the 1000 wnids, in the order that the released models number them.

    Names, sorted, are the classes 0, 1, ...

    Args:
        data_root (str): The folder, or a `.zip`.
        pipeline (Sequence[dict]): Transforms, from `img_path` (and `img_bytes`, out of a zip file) to `inputs`.
        labelled (bool): Whether images carry their class as a label.
        flip (bool): See ImageDataset.
        classes_from (str): 'folder' or 'file_name'.
        background (str): See ImageFiles.

    Raises:
        InputError: If there are no images, or with `labelled` not one class for each.
    """

    def __init__(self,
                 data_root: str,
                 pipeline: Sequence[dict],
                 labelled: bool = True,
                 flip: bool = False,
                 classes_from: str = 'folder',
                 background: str = DEFAULT_BACKGROUND) -> None:
        if classes_from not in WAYS:
            raise InputError(f'classes_from has to be one of {", ".join(WAYS)}, got {classes_from!r}.')
        archive = open_archive(data_root, 'set data_root to where the images lie.')
        files = archive.images()
        if not len(files.names):
            raise no_images(data_root)
        labels, classes = None, ()
        if labelled:
            stated = archive.read(LABELS_FILE, labels_bytes(files.names)) if classes_from == 'folder' else None
            if stated is not None:
                labels = read_labels(stated, files.names, Path(data_root) / LABELS_FILE)
                classes = tuple(map(str, range(labels.max() + 1)))
            else:
                labels, classes = labels_by_name(files.names, files.root, classes_from == 'file_name')
        super().__init__(files, labels, classes, 'image_folder', pipeline, flip, background)


def labels_by_name(names: PackedNames, root: str, by_file: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the labels and the names of the classes that folders, or names of files, stand for."""
    separator = b'_' if by_file else b'/'
    found = []
    for name in names:
        first, separated, _ = (name.rpartition(b'/')[2] if by_file else name).partition(separator)
        if not separated:
            raise InputError(f'{root}/{os.fsdecode(name)} ' + (
                'has no underscore in its name, so it has no class: class_name.jpg is expected, or set labelled=False.'
                if by_file else 'lies in no subfolder, so it has no class: sort the images into one subfolder per '
                "class, or set labelled=False, or, if names of files begin with it, classes_from='file_name'."))
        found.append(first)
    classes = sorted(set(found))
    index = {name: label for label, name in enumerate(classes)}
    labels = np.fromiter((index[name] for name in found), np.int64, len(found))
    return labels, tuple(map(os.fsdecode, classes))


def read_labels(content: bytes, names: PackedNames, path: Path) -> np.ndarray:
    """Return the labels (N,), int64, that `content` of the file `path` gives the images called `names`.

    Raises:
        InputError: If it is no such file, or does not give one label to each of the images, and to nothing else.
    """
    expected = '{"labels": [["00000/img00000000.png", 6], ...]} is expected, the file and the label of each image.'
    try:
        stated = parse_json(content, labels_bytes(names), JSON_VALUES + 3 * len(names))['labels']
        if stated is None:
            raise InputError(f'{path} has no labels: set labelled=False.')
        pairs = [(str(name).replace('\\', '/').encode(errors='surrogateescape'), label) for name, label in stated]
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
    missing = [name for name in names if name not in labels]
    if missing:
        raise InputError(f'{path} leaves out {len(missing)} of {len(names)} images, {os.fsdecode(missing[0])} first: '
                         'add their labels, or set labelled=False.')
    if len(labels) > len(names):
        extra = next(iter(labels.keys() - set(names)))
        raise InputError(f'{path} names {len(labels) - len(names)} images that are not there, among them '
                         f'{os.fsdecode(extra)}: get them, or take them out.')
    return np.fromiter((labels[name] for name in names), np.int64, len(names))


def labels_bytes(names: PackedNames) -> int:
    """Return how many bytes the file of labels may have: JSON may take six for one of a name."""
    return JSON_BYTES + 6 * len(names.content) + LABEL_BYTES * len(names)


def check_label(label: Any, name: bytes, path: Path) -> int:
    """Return `label` if it is an integer from 0 to `MAX_LABEL`; else raise an InputError."""
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label <= MAX_LABEL:
        what = 'no label' if label is None else f'the label {label!r}'
        raise InputError(f'{path} gives {os.fsdecode(name)} {what}: an integer from 0 to {MAX_LABEL} is expected, for '
                         'all images or for none.')
    return label
