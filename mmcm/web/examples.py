"""Pictures to edit for visitors who have none."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.photo_patches import SPLITS, PhotoPatches, read_photos, shrunk
from mmcm.utils.images import to_pil

SIDE = 512  # pixels to which small pictures are enlarged, so that one can paint on them

Example = tuple[Image.Image, int | None]  # a picture, and its class if it has one


class Examples(NamedTuple):
    """Pictures of one kind.

    Attributes:
        title (str): What the page calls one of them.
        fit (Callable): Returns whether they are pictures for a model.
        get (Callable): Returns the picture of a number, which is counted up without an end.
    """

    title: str
    fit: Callable[[ConsistencyModelInferencer], bool]
    get: Callable[[ConsistencyModelInferencer, int], Example]


def drawn(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return what the model draws from a seed."""
    drawing = inferencer(1, seed=number)
    return to_pil(drawing.pixels[0]), drawing.labels and drawing.labels[0]


def digit(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return a digit that was written by hand."""
    dataset = DigitsDataset('test')
    sample = dataset[number % len(dataset)]
    return to_pil(sample['inputs']), sample['gt_label']


def patch(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return a patch of a photograph, of the model's size, that no model of patches was trained on."""
    dataset = PhotoPatches('test', inferencer.model.image_shape[-1])
    return to_pil(dataset.patch(int(np.random.default_rng(number).integers(len(dataset))))), None


def photo(inferencer: ConsistencyModelInferencer, number: int) -> Example:
    """Return what is held out of a photograph, at its own size."""
    photos = read_photos()
    return to_pil(shrunk(photos[number % len(photos)], 0, SPLITS['test'])), None


def sees_colours(inferencer: ConsistencyModelInferencer) -> bool:
    """Return whether photographs are pictures for a model, and there are any."""
    return inferencer.model.image_shape[0] == 3 and find_spec('sklearn') is not None


KINDS: Sequence[Examples] = (
    Examples('drawn by the model', lambda inferencer: True, drawn),
    Examples('handwritten digit', lambda inferencer: inferencer.model.image_shape == (1, 8, 8), digit),
    Examples('patch of a photograph', sees_colours, patch),
    Examples('photograph', sees_colours, photo),
)


def enlarged(picture: Image.Image) -> Image.Image:
    """Return a small picture with its sides doubled, pixel by pixel, as often as `SIDE` has room for it.

    Scaled down to the size of a model it is what it was: `scale_shorter_side` halves it as often.
    """
    doublings = 0
    while max(picture.size) << (doublings + 1) <= SIDE:
        doublings += 1
    return picture.resize([side << doublings for side in picture.size], Image.Resampling.NEAREST)
