"""Resolving data sets: from a user's name, path or config to the config of a data set without augmentation."""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path

from mmengine.config import Config

from mmcm.config import read_config
from mmcm.datasets.derived_configs import unmirrored
from mmcm.datasets.formats.image_archive import open_archive
from mmcm.datasets.formats.image_names import LABELS_FILE, shown
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.image_pack import LABELS, read_images
from mmcm.datasets.lsun import DATA_FILE
from mmcm.datasets.transforms.center_crop import center_crop
from mmcm.datasets.transforms.load_image import check_background
from mmcm.datasets.transforms.shorter_side import MAX_SIDE
from mmcm.registry import DATASETS
from mmcm.utils.bounded import Unreadable, parse_json
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width
from mmcm.utils.log import log_warning
from mmcm.utils.npz import open_npz
from mmcm.zoo import list_models

ANY_LABELS = 2**40  # bytes; the data set limits them by the number of images


class NoDataError(InputError):
    """The source is no data set of any kind."""


def find_dataset(
    source: str | Path | dict, size: Size | None = None, channels: int | None = None, background: str | None = None
) -> ImageDataset:
    """Build the data set that `source` names; see `dataset_config` and `build_images`."""
    return build_images(dataset_config(source, size, channels, background))


def build_images(config: dict) -> ImageDataset:
    """Build a data set of images from its `config`; raise an InputError if it is another one."""
    dataset = DATASETS.build(config)
    if not isinstance(dataset, ImageDataset):
        raise InputError(f'{config["type"]} is no data set of images: ImageFolder or CIFAR10 would be one.')
    return dataset


def dataset_config(
    source: str | Path | dict, size: Size | None = None, channels: int | None = None, background: str | None = None
) -> dict:
    """Return the config of the data set that `source` names, without mirror images.

    Args:
        source (str | Path | dict): A config file, the name of one that comes with mmcm or of a model of the zoo (its
            training data), an npz of images (`arr_0`), an lmdb of LSUN, a folder or a zip of images, or the config of a
            data set.
        size (int | Sequence[int], optional): Crop and scale image files to this size in pixels: the side of a square,
            or (height, width); None keeps their size. Other data sets have their own size, or set it in their config.
        channels (int, optional): Read image files or an npz as grey, 1, or RGB, 3. With None, files are RGB, and an npz
            keeps its channels. Other data sets have their own number of channels.
        background (str, optional): Background of transparent images; see ImageFiles. None means white, or the setting
            of a config.

    Raises:
        InputError: If there is no such data, or `background` is set for a data set without image files; reading an
            image raises it if the image has colours and is to be grey.
    """
    return on_background([config_of(source, size, channels)], background)[0]


def config_of(source: str | Path | dict, size: Size | None, channels: int | None) -> dict:
    """See `dataset_config`."""
    if size is not None:
        height_and_width(size, most=MAX_SIDE)
    if isinstance(source, dict):
        return unmirrored(source)
    path = Path(source).expanduser()
    if (path / DATA_FILE).is_file():
        return dict(type='LSUN', data_root=str(path), pipeline=pipeline_for(size, channels))
    found = images_config(path, size, channels=channels)
    if found is not None:
        return found
    try:
        config = named_config(source)
    except InputError as error:
        if path.suffix == '.py':
            raise
        raise NoDataError(
            f'{source} is no data set ({str(error).removesuffix(".")}): name a folder or a zip of '
            'images, an npz, an lmdb of LSUN, a config or a model of the zoo.'
        ) from error
    dataset = (config.get('train_dataloader') or {}).get('dataset')
    if not isinstance(dataset, dict):
        raise InputError(f'{source} names no data: it has no train_dataloader.dataset.')
    return unmirrored(dataset)


def on_background(configs: Sequence[dict], background: str | None) -> list[dict]:
    """Set `background` in the `configs` of image files, unless it is None, and return all of them.

    Raises:
        InputError: If `background` is not valid, or none of the data sets has image files.
    """
    if background is None:
        return list(configs)
    check_background(background)
    kinds = [DATASETS.get(config['type']) for config in configs]
    takes = [kind is not None and 'background' in signature(kind).parameters for kind in kinds]
    if not any(takes):
        raise InputError(
            f'the background {background!r} is for image files, which may be transparent, and '
            f'{" and ".join(config["type"] for config in configs)} has none. Leave it out, or give a '
            'folder of images instead.'
        )
    return [{**config, 'background': background} if taken else config for config, taken in zip(configs, takes)]


def named_config(name: str | Path, options: dict | None = None) -> Config:
    """Read the config file `name`, or that of the model `name` of the zoo, changed by `options`.

    Raises:
        InputError: If there is no such file or model.
    """
    models = {model.name: model.config_file for model in list_models()}
    return read_config(models.get(str(name), name), options)


def images_config(
    path: Path, size: Size | None = None, by_subfolder: bool = True, channels: int | None = None
) -> dict | None:
    """Return the config of the images in an npz, a folder or a zip, with labels if they have any.

    Args:
        path (Path): The npz, folder or zip.
        size (int | Sequence[int], optional): See `dataset_config`.
        by_subfolder (bool): Whether the subfolders of image files are classes if there is no `dataset.json`.
        channels (int, optional): See `dataset_config`.

    Returns:
        dict, optional: None if `path` is nothing of the kind.

    Raises:
        InputError: If it cannot be read.
    """
    if path.suffix == '.npz' and not path.is_dir():
        file = open_npz(path)
        config = dict(type='ImagePack', data_file=str(path), labelled=LABELS in file)
        if channels is not None and read_images(file).shape[3] != channels:
            config['pipeline'] = [dict(type='PackImage', channels=channels)]
        return config
    if path.is_dir() or path.suffix.lower() == '.zip':
        labelled = is_labelled(path, by_subfolder)
        return dict(type='ImageFolder', data_root=str(path), pipeline=pipeline_for(size, channels), labelled=labelled)
    return None


def is_labelled(path: Path, by_subfolder: bool) -> bool:
    """Return whether the images of a folder or a zip have classes: by their `dataset.json`, else by subfolders.

    If at least as many images lie beside the subfolders of images as there are subfolders, no image has a class, which
    the log reports.
    """
    archive = open_archive(path, 'name a folder or a zip of images.')
    archive.look_through()
    stated = archive.read(LABELS_FILE, ANY_LABELS)
    if stated is not None:
        try:
            return parse_json(stated)['labels'] is not None
        except (Unreadable, TypeError, KeyError):
            return True  # it is too long to have none, or the data set reports its error
    if not by_subfolder or not archive.class_folders():
        return False
    number, loose = len(set(archive.image_folders())), archive.loose_images()
    if loose and len(loose) >= number:
        log_warning(
            f'{path}: no image gets a class, since {len(loose)} lie beside {number} folders of images, '
            f'{shown(loose[0])} first: move them into a folder of their class, or away.'
        )
        return False
    return True


def in_channels(config: dict, channels: int | None) -> dict:
    """Return the `config` of a data set whose images get `channels`: 1, the brightness of colours, or 3; None: as is.

    Raises:
        InputError: If the data set has no pipeline that could convert images.
    """
    if channels is None:
        return config
    kind = DATASETS.get(config['type'])
    if kind is None or 'pipeline' not in signature(kind).parameters:
        raise InputError(f'{config["type"]} has no pipeline that could give its images {channels} channels.')
    others = [transform for transform in config.get('pipeline') or () if transform['type'] != 'PackImage']
    grey = [dict(type='ToGrey')] if channels == 1 else []
    return {**config, 'pipeline': [*others, *grey, dict(type='PackImage', channels=channels)]}


def pipeline_for(size: Size | None, channels: int | None = None) -> Sequence[dict]:
    """Return the transforms from a file to an image, of `size` if given; see `dataset_config`."""
    crop = [] if size is None else [center_crop(size)]
    # Files are read as RGB.
    pack = dict(type='PackImage') if channels in (None, 3) else dict(type='PackImage', channels=channels)
    return [dict(type='LoadImage'), *crop, pack]
