"""From an edit task and a user's image to what `ConsistencyModel.edit` takes: `square` and `whole`, for each task.

Images are of mode RGB or RGBA (see `mmcm.apis.editing.images.as_rgb`), masks of mode RGB or L.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor

from mmcm.apis.editing.images import (
    Place,
    as_weights,
    fit_image,
    fit_mask,
    flattened,
    open_image,
    scale_image,
    scale_mask,
    seen_part,
    to_tensor,
)
from mmcm.apis.editing.request import (
    Colorize,
    Deblur,
    Denoise,
    EditTask,
    Inpaint,
    Stroke,
    SuperResolve,
    Uncrop,
    Variations,
    arguments_of,
)
from mmcm.apis.editing.tiling import count_tiles, covering_tiles, tiles_around
from mmcm.operators import (
    Colorization,
    Deblurring,
    Denoising,
    EditingOperator,
    Inpainting,
    SDEdit,
    SuperResolution,
    Tiles,
)
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import MAX_PIXELS

Shape = tuple[int, int, int]  # channels, height and width of the model's images
Task = TypeVar('Task', bound=EditTask)

HALF_WHITE = 128  # a mask with nothing brighter marks nothing
SMALLEST_SIDE = 64  # pixels: the shorter side of a whole image that is coloured, where it and the model have fewer


class Prepared(NamedTuple):
    """An image at the size of the model, and the operator that says which part of it is known.

    Attributes:
        image (Tensor): The image, (1, C, H, W) in [-1, 1].
        operator (EditingOperator): What is known of it.
        shown (Tensor, optional): What the user gave, at the model's size, where that is not `image`.
        place (Place, optional): Where the result belongs in the user's image; None where it has no place there.
        tiles (Tiles, optional): In which the image is edited, where it is of another size than the model's.
    """

    image: Tensor
    operator: EditingOperator
    shown: Tensor | None = None
    place: Place | None = None
    tiles: Tiles | None = None


class WholeImage(NamedTuple):
    """A whole image before it is scaled, which may take all memory.

    Attributes:
        num_tiles (int): How many tiles the image is edited in.
        prepare (Callable): Scales it.
    """

    num_tiles: int
    prepare: Callable[[], Prepared]


def opened(task: Task) -> Task:
    """Return `task` with the images among its arguments read.

    Of a mask that was painted on a transparent ground, only the paint counts: behind it there is black.
    """
    paths = [each.name for each in arguments_of(task) if each.type is Path]
    return replace(task, **{name: open_image(getattr(task, name), background='black') for name in paths})


@singledispatch
def square(task: EditTask, image: Image, shape: Shape) -> Prepared:
    """Return the middle of `image` at the size of the model's images, whose `shape` is (C, H, W): a square of most.

    Raises:
        InputError: If the task is not possible with this image.
    """
    raise NotImplementedError(f'{type(task).__name__} needs a function here: register one with @square.register.')


@singledispatch
def whole(task: EditTask, image: Image, shape: Shape, side: int | None) -> WholeImage | None:
    """Return the whole of `image`, in tiles; None where the model sees all of it at once.

    Args:
        task (EditTask): The task; those that only see the central square return None.
        image (Image): The user's image.
        shape (tuple[int, int, int]): Of the model's images, (C, H, W).
        side (int, optional): The shorter side, in pixels, that the image is scaled to; None chooses one.

    Raises:
        InputError: If the task is not possible with this image.
    """
    return None


@square.register
def inpaint_square(task: Inpaint, image: Image, shape: Shape) -> Prepared:
    """Return the central square, with what the mask leaves there."""
    mask = matching_mask(task, image)
    pixels = fit_mask(mask, shape[1:])
    if pixels.max() < HALF_WHITE:
        part = 'square' if shape[1] == shape[2] else 'part'
        raise InputError(
            f'the mask marks nothing in the central {part} of the image, which the model sees: paint '
            'what is to be filled white (255), the rest black.'
        )
    place = Place(image, mask=mask, part=seen_part(image, shape[1:]))
    return Prepared(as_image(image, shape), Inpainting(as_weights(pixels)), place=place)


@whole.register
def inpaint_whole(task: Inpaint, image: Image, shape: Shape, side: int | None) -> WholeImage | None:
    """Return the tiles around the mask, wherever it is.

    The image is reduced as far as needed for the thickest part of the mask to fill half of a tile: from the other half,
    the model sees what belongs there.
    """
    channels, high, wide = shape
    mask = matching_mask(task, image)
    if image.size == (wide, high):
        return None
    pixels = np.asarray(mask)
    if pixels.max() < HALF_WHITE:
        raise InputError('the mask marks nothing: paint what is to be filled white (255), the rest black.')
    shorter = min(image.size) * min(1, min(high, wide) / (2 * thickness(pixels))) if side is None else side
    height, width = scaled_shape(image, shape, shorter)
    if width * height > MAX_PIXELS:
        raise InputError(
            f'the whole image would be scaled from {image.width} x {image.height} to {width} x '
            f'{height} pixels, more than {MAX_PIXELS}: give a smaller side (--side), or --region square.'
        )
    tiles = tiles_around(scale_mask(pixels, height, width)[..., 0], (high, wide))
    rows, columns = zip(*tiles.corners)
    top, left, bottom, right = min(rows), min(columns), max(rows) + high, max(columns) + wide
    across, down = image.width / width, image.height / height
    part = (
        math.floor(left * across),
        math.floor(top * down),
        min(image.width, math.ceil(right * across)),
        min(image.height, math.ceil(bottom * down)),
    )
    corners = tuple((row - top, column - left) for row, column in tiles.corners)
    tiles = Tiles(tiles.size, (bottom - top, right - left), corners)

    def prepare() -> Prepared:
        weights = as_weights(scale_mask(pixels[part[1] : part[3], part[0] : part[2]], *tiles.shape))
        pixels_around = scale_image(flattened(image), channels, part, *tiles.shape)
        return Prepared(
            to_tensor(pixels_around), Inpainting(weights), place=Place(image, mask=mask, part=part), tiles=tiles
        )

    return WholeImage(len(tiles), prepare)


def thickness(mask: np.ndarray) -> float:
    """Return how many pixels the thickest part of `mask` (H, W) measures."""
    return 2 * cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5).max()


def matching_mask(task: Inpaint, image: Image) -> Image:
    """Return the mask of `task` in mode L and of the size of `image`.

    Raises:
        InputError: If it is of another size and is not to be resized.
    """
    assert isinstance(task.mask, Image), 'see `opened`'
    mask = task.mask.convert('L')
    if mask.size != image.size:
        if not task.resize_mask:
            raise InputError(
                f'the mask is of {mask.width} x {mask.height} pixels and the image of {image.width} x '
                f'{image.height}: they have to be of one size. Give --resize-mask (resize_mask=True in '
                'Python) to stretch the mask to that of the image.'
            )
        mask = mask.resize(image.size, Resampling.BOX)
    return mask


@square.register
def uncrop_square(task: Uncrop, image: Image, shape: Shape) -> Prepared:
    """Return `image`, made smaller, in the middle of an unknown one; an InputError if nothing is left of either."""
    channels, *sides = shape
    high, wide = (round(task.share * side) if 0 < task.share < 1 else 0 for side in sides)
    if not (0 < high < sides[0] and 0 < wide < sides[1]):
        raise InputError(
            f'the image has to take a share between 0 and 1 of {min(sides)} pixels, and leave one at least, '
            f'got {task.share}.'
        )
    top, left = (sides[0] - high) // 2, (sides[1] - wide) // 2
    rows, columns = slice(top, top + high), slice(left, left + wide)
    around_it = torch.zeros(1, *shape, dtype=torch.float32, device='cpu')
    mask = torch.ones(1, 1, *sides, dtype=torch.float32, device='cpu')
    around_it[..., rows, columns] = as_image(image, (channels, high, wide))
    mask[..., rows, columns] = 0
    return Prepared(around_it, Inpainting(mask))


@square.register
def colorize_square(task: Colorize, image: Image, shape: Shape) -> Prepared:
    """Return the central square, of which the brightness is known."""
    place = Place(image, Colorization(), part=seen_part(image, shape[1:]))
    return Prepared(as_image(image, shape), Colorization(), place=place)


@whole.register
def colorize_whole(task: Colorize, image: Image, shape: Shape, side: int | None) -> WholeImage | None:
    """Return the whole image, its shorter side scaled to `side`; by default 64 pixels or that of the model."""
    channels, high, wide = shape
    side = min(SMALLEST_SIDE, *image.size) if side is None else side
    height, width = scaled_shape(image, shape, side)
    if (height, width) == (high, wide):
        return None

    def prepare() -> Prepared:
        part = (0, 0, *image.size)
        scaled = to_tensor(scale_image(flattened(image), channels, part, height, width))
        place = Place(image, Colorization(), part=part)
        return Prepared(scaled, Colorization(), place=place, tiles=covering_tiles(height, width, (high, wide)))

    return WholeImage(count_tiles(height, width, (high, wide)), prepare)


@square.register
def super_resolve_square(task: SuperResolve, image: Image, shape: Shape) -> Prepared:
    """Return an image that is smaller than the model's by just the factor with each pixel as a patch.

    Any other image is brought to the model's size, and the operator knows the means of its patches.
    """
    operator, factor = SuperResolution(task.factor), task.factor
    channels, high, wide = shape
    if (image.width * factor, image.height * factor) == (wide, high):
        small = fit_image(flattened(image), channels, (image.height, image.width))
        return Prepared(to_tensor(small.repeat(factor, axis=0).repeat(factor, axis=1)), operator)
    return Prepared(as_image(image, shape), operator)


@whole.register
def super_resolve_whole(task: SuperResolve, image: Image, shape: Shape, side: int | None) -> WholeImage | None:
    """Return the whole image, enlarged from its own size by the factor."""
    operator, factor = SuperResolution(task.factor), task.factor
    _, high, wide = shape
    if side is not None:
        raise InputError(
            'the side of super-resolve is that of the image times the factor: leave it out, or make the image smaller.'
        )
    width, height = (length * factor for length in image.size)
    if width < wide or height < high or (wide, high) in (image.size, (width, height)):
        return None

    def prepare() -> Prepared:
        pixels = own_pixels(image, shape).repeat(factor, axis=0).repeat(factor, axis=1)
        return Prepared(to_tensor(pixels), operator, tiles=covering_tiles(height, width, (high, wide)))

    return WholeImage(count_tiles(height, width, (high, wide)), prepare)


@square.register
def deblur_square(task: Deblur, image: Image, shape: Shape) -> Prepared:
    """Return what the blur has left of the central square."""
    operator = Deblurring(task.kernel, shape[1:])
    blurred = as_image(image, shape)
    return Prepared(operator.sharpened(blurred), operator, shown=blurred)


@square.register(Stroke)
@square.register(Variations)
def sdedit_square(task: EditTask, image: Image, shape: Shape) -> Prepared:
    """Return the central square, from which sampling starts."""
    return Prepared(as_image(image, shape), SDEdit())


@square.register
def denoise_square(task: Denoise, image: Image, shape: Shape) -> Prepared:
    """Return the central square, from which sampling starts without further noise."""
    return Prepared(as_image(image, shape), Denoising())


@whole.register
def denoise_whole(task: Denoise, image: Image, shape: Shape, side: int | None) -> WholeImage | None:
    """Return the whole image at its own size."""
    _, high, wide = shape
    if side is not None:
        raise InputError('an image is denoised at its own size: leave the side out.')
    if image.width < wide or image.height < high or image.size == (wide, high):
        return None

    def prepare() -> Prepared:
        tiles = covering_tiles(image.height, image.width, (high, wide))
        return Prepared(to_tensor(own_pixels(image, shape)), Denoising(), tiles=tiles)

    return WholeImage(count_tiles(image.height, image.width, (high, wide)), prepare)


def as_image(image: Image, shape: Shape) -> Tensor:
    """Return the middle of `image`, (1, C, H, W) in [-1, 1]; behind its transparent parts there is white."""
    return to_tensor(fit_image(flattened(image), shape[0], shape[1:]))


def scaled_shape(image: Image, shape: Shape, side: float) -> tuple[int, int]:
    """Return height and width of `image` with a shorter side of `side`, or as large as the model's images need."""
    _, high, wide = shape
    shorter = min(image.size)
    scaled = max(side, shorter * high / image.height, shorter * wide / image.width)
    return max(high, round(image.height * scaled / shorter)), max(wide, round(image.width * scaled / shorter))


def own_pixels(image: Image, shape: Shape) -> np.ndarray:
    """Return `image` at its own size with the channels of the model, (H, W, C), uint8."""
    return scale_image(flattened(image), shape[0], (0, 0, *image.size), image.height, image.width)
