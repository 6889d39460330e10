"""Data of a new config: from what the user names to images of one size, packed where that pays."""

import json
import shutil
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from mmcm.apis.data.packing import pack
from mmcm.apis.data.resolve_dataset import build_images, dataset_config
from mmcm.apis.new.choose import Data
from mmcm.apis.new.inspection import Findings
from mmcm.apis.new.networks import halvings
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.image_files import ImageFiles
from mmcm.datasets.image_pack import read_notes
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.datasets.transforms.pack_image import HAS_COLOURS
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import plain_size
from mmcm.utils.npz import open_npz
from mmcm.utils.outputs import claimed

MOST_CLASSES_SHARE = 0.5  # of the images; folders of one image each are no classes
USUAL_SIDE = 64  # largest size that is chosen where the user gives none
SIZES = (256, 128, 96, 64, 48, 32, 28, 24, 16, 8)
DISK_SHARE = 0.5  # of the free disk that a pack may take
PACK_TIME_SHARE = 0.25  # of the budget that packing may take


@dataclass(frozen=True)
class Source:
    """What the user names.

    Attributes:
        name (str): A folder, a zip, a pack or another source of `dataset_config`.
        size (tuple[int, int], optional): Wanted height and width in pixels.
        classes (str, optional): Where classes come from: 'folders', 'names' of files or 'none'; None takes folders
            where they are classes.
        background (str, optional): Colour behind transparent images; None means white.
    """

    name: str
    size: tuple[int, int] | None = None
    classes: str | None = None
    background: str | None = None

    def config(self, size: tuple[int, int] | None = None, channels: int | None = None) -> dict[str, Any]:
        """Return the config of the data set, cut to `size` (H, W).

        Raises:
            InputError: If there is no such data, or it has no classes of the wanted kind.
        """
        side = None if size is None else plain_size(size)
        config = dataset_config(self.name, side, channels, self.background)
        if self.classes is None:
            return config
        if self.classes == 'names' and config['type'] != 'ImageFolder':
            raise InputError(
                f'--classes names is for image files, and {self.name} is a {config["type"]}: leave it out.'
            )
        if 'labelled' in signature(DATASETS.get(config['type'])).parameters:
            config['labelled'] = self.classes != 'none'
        elif self.classes != 'none':
            raise InputError(f'--classes {self.classes} is not for a {config["type"]}: leave it out.')
        if self.classes == 'names':
            config['classes_from'] = 'file_name'
        return config

    def found(self) -> ImageDataset:
        """Build the data set, with the images in the sizes of their files.

        A single folder, or a folder for almost every image, is no class unless the user asks for it.
        """
        dataset = build_images(self.config())
        number = dataset.num_classes
        if self.classes is None and number and (number < 2 or number > MOST_CLASSES_SHARE * dataset.num_images):
            return replace(self, classes='none').found()
        return dataset


def chosen_size(source: Source, dataset: ImageDataset, findings: Findings) -> tuple[int, int]:
    """Return the height and width to train at.

    Raises:
        InputError: If a size is given for images of their own size, or no network fits it.
    """
    own = (findings.heights[0], findings.widths[0])
    if isinstance(dataset, ImageFiles):
        side = next((side for side in SIZES if side <= min(USUAL_SIDE, findings.shorter_side)), SIZES[-1])
        size = source.size or (side, side)
    elif source.size not in (None, own):
        raise InputError(
            f'--size is for images in files, and those of {source.name} have {own[0]} x {own[1]} pixels. Leave it out, '
            'or give their folder instead.'
        )
    else:
        size = own
    halvings(size)
    return size


def pays_to_pack(dataset: ImageDataset, size: tuple[int, int], seconds: float, budget: float, folder: Path) -> bool:
    """Return whether packing image files pays: it takes little of the time, and the disk has room.

    Args:
        dataset (ImageDataset): The images.
        size (tuple[int, int]): Height and width of the packed images.
        seconds (float): Time for decoding all images once.
        budget (float): Time of the training, in seconds.
        folder (Path): Where the pack is to lie.
    """
    if not isinstance(dataset, ImageFiles):
        return False
    num_bytes = 3 * size[0] * size[1] * dataset.num_images
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    return seconds <= PACK_TIME_SHARE * budget and num_bytes <= DISK_SHARE * shutil.disk_usage(existing).free


def packed(
    source: Source, size: tuple[int, int], findings: Findings, out: Path, workers: int, force: bool = False
) -> tuple[Data, list[str]]:
    """Pack the images of `source` to the file `out`; return the data, and the reason of each image that was left out.

    An existing pack of these images is taken. If all images of a sample are grey, and others turn out to have colours,
    all are packed again.

    Raises:
        InputError: If `out` is another file, and `force` is not set.
    """
    classes = source if findings.classes else replace(source, classes='none')

    def attempt(channels: int) -> tuple[int, list[str]]:
        config = classes.config(size, channels)
        dataset = build_images(config)
        origin = dict(config, fingerprint=dataset.fingerprint)  # which changes with the files
        found = existing_pack(out, origin)
        if found is not None:
            return found
        with claimed({'--out': out}, force):
            done = pack(dataset, out, origin, workers, 'skip', progress=True)
        return done.num_images, done.corrupt

    channels = findings.channels
    number, corrupt = attempt(channels)
    if channels == 1 and not findings.is_complete and any(HAS_COLOURS in reason for reason in corrupt):
        channels, force = 3, True  # the file is ours
        number, corrupt = attempt(channels)
    config = dict(type='ImagePack', data_file=str(out.absolute()), labelled=bool(findings.classes))
    return Data(config, number, size, channels, findings.classes), corrupt


def existing_pack(path: Path, origin: dict[str, Any]) -> tuple[int, list[str]] | None:
    """Return the number of images in a pack with this origin, and why others were left out; None for other files.

    Args:
        path (Path): The file, which need not exist.
        origin (dict): Config of the data set, and its fingerprint.
    """
    if not path.is_file():
        return None
    try:
        notes = read_notes(open_npz(path))
    except InputError:
        return None
    if notes.get('source') != json.loads(json.dumps(origin, default=str)):
        return None
    return notes['num_images'], list(notes.get('corrupt', ()))


def unpacked(source: Source, dataset: ImageDataset, size: tuple[int, int], findings: Findings) -> Data:
    """Return the data that are read from `source` while training."""
    encoded = isinstance(dataset, ImageFiles)
    classes = source if findings.classes else replace(source, classes='none')
    # Images that were not looked at may have colours, and then end a training on grey images.
    channels = findings.channels if findings.is_complete or not encoded else 3
    config = classes.config(size, channels) if encoded else classes.config()
    if not encoded:
        channels = int(dataset[0]['inputs'].shape[0])
    for name in ('data_root', 'data_file'):
        if name in config and Path(config[name]).exists():
            config[name] = str(Path(config[name]).absolute())
    return Data(config, findings.num_images, size, channels, findings.classes, encoded)


def background_in_words(source: Source) -> str:
    """Return the colour behind transparent images."""
    return source.background or DEFAULT_BACKGROUND
