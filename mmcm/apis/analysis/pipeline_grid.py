"""Grid of training images after each transform: what the network sees of a data set."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mmcm.apis.data.resolve_dataset import build_images, dataset_config, named_config
from mmcm.datasets.encoded_images import EncodedImages
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.image_split import ImageSplit
from mmcm.registry import AUGMENTATIONS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.random_state import undisturbed
from mmcm.visualization.grids import named_grid, on_square

Stage = tuple[str, Tensor]  # its name, and the image (C, H, W), uint8, after it


def pipeline_sheet(config: Config, num_images: int = 5, draws: int = 3, seed: int = 0, side: int = 128) -> np.ndarray:
    """Return a grid with a row for each image and a column for each transform.

    Args:
        config (Config): `train_dataloader.dataset`, and `model.augmentation` if there is one.
        num_images (int): Images, evenly spread over the data set without mirror images.
        draws (int): Columns for `model.augmentation`, which is random.
        seed (int): Seed of random transforms and of the augmentation.
        side (int): Side of the squares, to which the images are scaled, in pixels.

    Returns:
        ndarray: The grid, (H, W, 3), uint8 RGB.

    Raises:
        InputError: If the config has no data set of images, or an image cannot be read.
    """
    for name, value in (('num_images', num_images), ('draws', draws), ('side', side)):
        check_count(name, value)
    dataset = (config.get('train_dataloader') or {}).get('dataset')
    if not isinstance(dataset, dict):
        raise InputError('the config names no data: it has no train_dataloader.dataset.')
    data = build_images(deepcopy(dataset))
    if not data.num_images:
        raise InputError('the data set has no image to show.')
    augmentation = (config.get('model') or {}).get('augmentation')
    positions = np.unique(np.linspace(0, data.num_images - 1, min(num_images, data.num_images)).round().astype(int))
    rows: list[list[Stage]] = []
    with undisturbed():
        np.random.seed(seed % 2**32)  # MMEngine seeds it for transforms, too
        torch.manual_seed(seed)
        for position in positions.tolist():
            stages = list(stages_of(data, position))
            if augmentation is not None:
                stages += augmented(AUGMENTATIONS.build(dict(augmentation)), stages[-1][1], draws)
            rows.append(stages)
    names = [f'{name}\n{size_of([row[column] for row in rows])}' for column, (name, _) in enumerate(rows[0])]
    images = [[on_square(image, side) for _, image in row] for row in rows]
    return named_grid(images, [f'image {position}' for position in positions], names, side)


def pipeline_config(source: str, size: int | None = None, background: str | None = None) -> Config:
    """Return the config of a training on `source`: itself, or for a folder, zip or npz, one with this data set.

    Args:
        source (str): What `dataset_config` takes.
        size (int, optional): Size of image files; see `dataset_config`.
        background (str, optional): Colour behind transparent images.
    """
    dataset = dataset_config(source, size, None, background)  # which says what `source` is not
    try:
        config = named_config(source)
    except InputError:
        return Config(dict(train_dataloader=dict(dataset=dataset)))
    if background is not None:
        config.train_dataloader.dataset.background = background
    return config


def stages_of(data: ImageDataset, position: int) -> Iterator[Stage]:
    """Yield an image after each transform of the pipeline of `data`, or as it is stored, and mirrored if it is so."""
    whole, place = (data.whole, int(data.positions[position])) if isinstance(data, ImageSplit) else (data, position)
    if isinstance(whole, EncodedImages):
        sample = whole.sample(place)
        sample['background'] = whole.transparency.background
        for transform in whole.pipeline.transforms:
            sample = transform(sample)
            yield type(transform).__name__, image_in(sample)
    else:
        yield 'stored', data.read(position)['inputs']
    if data.flip:
        yield 'mirror image', data[position + data.num_images]['inputs']


def image_in(sample: dict) -> Tensor:
    """Return the image of a sample between transforms, (C, H, W), RGB or grey: `inputs`, else `img`, which is BGR."""
    if 'inputs' in sample:
        return sample['inputs']
    pixels = sample['img']
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[::-1]))


def augmented(augmentation: object, image: Tensor, draws: int) -> list[Stage]:
    """Return `draws` results of an augmentation, which takes images in [-1, 1]."""
    assert callable(augmentation)
    images = (image.float() / 127.5 - 1).expand(draws, *image.shape)
    pixels = ((augmentation(images)[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return [(f'{type(augmentation).__name__} {index + 1}', each) for index, each in enumerate(pixels)]


def size_of(stages: list[Stage]) -> str:
    """Return the size of the images in a column, or the range of their sides."""
    widths, heights = ([image.shape[axis] for _, image in stages] for axis in (2, 1))
    if len(set(widths)) == len(set(heights)) == 1:
        return f'{widths[0]} x {heights[0]}'
    return f'{min(widths)}-{max(widths)} x {min(heights)}-{max(heights)}'
