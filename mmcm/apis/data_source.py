"""From what a user calls a data set to its config, and to its images as they are, without augmentation."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from mmengine.config import Config

from mmcm.datasets.image_archive import open_archive
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.image_folder import LABELS_FILE
from mmcm.datasets.image_pack import LABELS
from mmcm.datasets.lsun import DATA_FILE
from mmcm.registry import DATASETS
from mmcm.utils.checks import check_count
from mmcm.utils.configs import read_config
from mmcm.utils.errors import InputError
from mmcm.utils.npz import open_npz

MIRRORING = ('RandomFlip', )  # transforms of a training pipeline that are left out


def find_dataset(source: Union[str, Path, dict], size: Optional[int] = None) -> ImageDataset:
    """Return the data set that `source` means; see `dataset_config`."""
    return DATASETS.build(dataset_config(source, size))


def dataset_config(source: Union[str, Path, dict], size: Optional[int] = None) -> dict:
    """Return the config of the data set that `source` means, without mirror images.

    Args:
        source (str | Path | dict): A config file or the name of one that comes with mmcm (its training data), an npz of
            images (`arr_0`), an lmdb of LSUN, a folder or a zip of images, or the config of a data set.
        size (int, optional): What lies in files is cut and scaled to squares of so many pixels; None leaves it as it
            is. Other data sets have their own size, or say it in their config.

    Raises:
        InputError: If there is no such data.
    """
    if size is not None:
        check_count('size', size)
    if isinstance(source, dict):
        return unmirrored(source)
    path = Path(source).expanduser()
    if path.suffix == '.npz':
        return dict(type='ImagePack', data_file=str(path), labelled=LABELS in open_npz(path))
    if (path / DATA_FILE).is_file():
        return dict(type='LSUN', data_root=str(path), pipeline=pipeline_for(size))
    if path.is_dir() or path.suffix == '.zip':
        return dict(type='ImageFolder', data_root=str(path), pipeline=pipeline_for(size), labelled=is_labelled(path))
    try:
        config = read_config(source)
    except InputError as error:
        if path.suffix == '.py':
            raise
        raise InputError(f'{source} is no data set: neither a folder, a zip, an npz nor an lmdb of images ({error}).'
                         ) from error
    dataset = config.get('train_dataloader', {}).get('dataset')
    if dataset is None:
        raise InputError(f'{source} names no data: it has no train_dataloader.dataset.')
    return unmirrored(dataset)


def is_labelled(path: Path) -> bool:
    """Return whether the images of a folder or a zip have classes: by their `dataset.json`, else by subfolders."""
    archive = open_archive(path, 'name a folder or a zip of images.')
    stated = archive.read(LABELS_FILE)
    if stated is None:
        return all(b'/' in name for name in archive.images().names)
    try:
        return json.loads(stated)['labels'] is not None
    except (ValueError, TypeError, KeyError):
        return True  # the data set says what is wrong with it


def unmirrored(config: dict) -> dict:
    """Return the `config` of a data set without what mirrors images."""
    config = Config(dict(config)).to_dict()
    if config.get('flip'):
        config['flip'] = False
    if config.get('pipeline'):
        config['pipeline'] = [
            transform for transform in config['pipeline'] if str(transform['type']).split('.')[-1] not in MIRRORING]
    return config


def pipeline_for(size: Optional[int]) -> Sequence[dict]:
    """Return the transforms from a file to an image: squares of `size` pixels, or as it is."""
    crop = [] if size is None else [dict(type='CenterCropToSquare', size=size)]
    return [dict(type='LoadImage'), *crop, dict(type='PackImage')]
