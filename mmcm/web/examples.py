"""Example images to edit, for visitors without one."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.photo_patches import SPLITS, PhotoPatches, read_photos, shrunk
from mmcm.utils.images import to_pil

SIDE = 512  # pixels to which small images are enlarged for painting

Example = tuple[Image.Image, int | None]  # an image, and its class if it has one


class Examples(NamedTuple):
    """Example images of one kind.

    Attributes:
        title (str): Name of the kind on the page.
        fit (Callable): Returns whether a model can edit them.
        get (Callable): Returns the image of a number, any integer from 0.
    """

    title: str
    fit: Callable[[ConsistencyModelInferencer], bool]
    get: Callable[[ConsistencyModelInferencer, int], Example]


def sampled(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return a sample of the model for a seed."""
    result = inferencer.sample(inferencer.request(1, seed=number))
    return to_pil(result.pixels[0]), result.labels[0] if result.labels else None


def digit(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return a handwritten digit."""
    dataset = DigitsDataset('test')
    sample = dataset[number % len(dataset)]
    return to_pil(sample['inputs']), sample['gt_label']


def patch(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return a patch of a photograph, in the size of the model, held out from training."""
    dataset = PhotoPatches('test', inferencer.model.image_shape[1:])
    return to_pil(dataset.patch(int(np.random.default_rng(number).integers(len(dataset))))), None


def photo(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return the held out part of a photograph, at its own size."""
    photos = read_photos()
    return to_pil(shrunk(photos[number % len(photos)], 0, SPLITS['test'])), None


def sees_colours(inferencer: ConsistencyModelInferencer) -> bool:
    """Return whether a model can edit photographs, and there are any."""
    return inferencer.model.image_shape[0] == 3 and find_spec('sklearn') is not None


KINDS: Sequence[Examples] = (
    Examples('sample of the model', lambda inferencer: True, sampled),
    Examples('handwritten digit', lambda inferencer: inferencer.model.image_shape == (1, 8, 8), digit),
    Examples('patch of a photograph', sees_colours, patch),
    Examples('photograph', sees_colours, photo),
)


def enlarged(image: Image.Image) -> Image.Image:
    """Return a small image with its sides doubled, pixel by pixel, as often as it fits `SIDE`.

    Scaled down to the size of a model, it is unchanged: `scale_shorter_side` halves it as often.
    """
    doublings = 0
    while max(image.size) << (doublings + 1) <= SIDE:
        doublings += 1
    return image.resize((image.width << doublings, image.height << doublings), Image.Resampling.NEAREST)
