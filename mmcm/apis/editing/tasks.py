"""From a user's pictures to what `ConsistencyModel.edit` takes. `TASKS` has each task, a function, by its name.

Pictures are of mode RGB or RGBA (see `mmcm.apis.editing.images.as_rgb`), masks of mode RGB or L.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor

from mmcm.apis.editing.images import (
    Place,
    as_weights,
    fit_mask,
    fit_picture,
    flattened,
    scaled_mask,
    scaled_picture,
    to_tensor,
)
from mmcm.operators.base import EditingOperator
from mmcm.operators.colorization import Colorization
from mmcm.operators.deblurring import Deblurring
from mmcm.operators.inpainting import Inpainting
from mmcm.operators.sdedit import Denoising, Guide
from mmcm.operators.super_resolution import SuperResolution
from mmcm.operators.tiles import Tiles, around, count_tiles, whole_picture
from mmcm.utils.checks import check_flag, check_number
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import MAX_PIXELS

Shape = tuple[int, int, int]  # channels, height and width of the model's images

STROKE_LEVELS = (5.38, 2.24)  # Song et al. (2023, Appendix D)
VARIATION_LEVELS = (1.0,)
NUM_CANDIDATES = 4
HALF_WHITE = 128  # a mask with nothing brighter marks nothing
SMALLEST_SIDE = 64  # pixels: the shorter side of a whole picture that is coloured, where it and the model have fewer


class Task(NamedTuple):
    """What is to be done with a picture.

    Attributes:
        image (Tensor): The picture as the model takes it, (1, C, H, W), in [-1, 1].
        operator (EditingOperator): What is known of it.
        sigmas (Sequence[float], optional): The noise levels to draw with where the user names none; None for those of
            `editing_sampler`.
        shown (Tensor, optional): What the user gave, at the model's size, where that is not `image`.
        mask (Tensor, optional): What is to be drawn, at the model's size, (1, 1, H, W) in [0, 1].
        place (Place, optional): Where the result belongs in the picture; None where it has no place there.
        starts_at (float, optional): The level at which drawing has to start, where it is not the user's choice.
        num_candidates (int): How many results there are where the user does not say.
        tiles (Tiles, optional): In which the picture is edited, where it is of another size than the model's.
    """

    image: Tensor
    operator: EditingOperator
    sigmas: Sequence[float] | None = None
    shown: Tensor | None = None
    mask: Tensor | None = None
    place: Place | None = None
    starts_at: float | None = None
    num_candidates: int = NUM_CANDIDATES
    tiles: Tiles | None = None


class WholeTask(NamedTuple):
    """What editing a whole picture takes, before the picture is scaled: that may take all memory.

    Attributes:
        num_tiles (int): How many tiles the picture is edited in.
        make (Callable): Returns the task, of which all else is said here already.
        sigmas, starts_at, num_candidates: See `Task`.
    """

    num_tiles: int
    make: Callable[[], Task]
    sigmas: Sequence[float] | None = None
    starts_at: float | None = None
    num_candidates: int = NUM_CANDIDATES


def inpaint(picture: Image, shape: Shape, mask: Image, resize_mask: bool = False) -> Task:
    """Draw anew where `mask` is white.

    With `resize_mask`, a mask of another size is stretched to the picture's, height and width each by themselves: one
    that is smaller has its pixels repeated, so that black and white stay what they are; of one that is larger, the
    pixels that become one are averaged.

    Raises:
        InputError: If the mask is of another size and is not to be resized, or marks nothing of what the model sees.
    """
    mask = fitting_mask(picture, mask, resize_mask)
    weights = fit_mask(mask, shape[-1])
    if weights.max() < HALF_WHITE:
        raise InputError(
            'the mask marks nothing in the central square of the picture, which the model sees: paint '
            'what is to be filled white (255), the rest black.'
        )
    weights = as_weights(weights)
    return Task(as_image(picture, shape), Inpainting(weights), mask=weights, place=Place(picture, Inpainting, mask))


def fitting_mask(picture: Image, mask: Image, resize_mask: bool) -> Image:
    """Return `mask` in mode L and of the size of `picture`; see `inpaint`."""
    check_flag('resize_mask', resize_mask)
    mask = mask.convert('L')
    if mask.size != picture.size:
        if not resize_mask:
            raise InputError(
                f'the mask is of {mask.width} x {mask.height} pixels and the picture of {picture.width} x '
                f'{picture.height}: they have to be of one size. Give --resize-mask (resize_mask=True in '
                'Python) to stretch the mask to that of the picture.'
            )
        mask = mask.resize(picture.size, Resampling.BOX)
    return mask


def uncrop(picture: Image, shape: Shape, share: float) -> Task:
    """Draw what is around `picture`, which takes `share` of the image's height and width, in (0, 1), in its middle.

    Raises:
        InputError: If nothing would be left of the picture, or around it.
    """
    check_number('share', share)
    channels, size, _ = shape
    inner = round(share * size) if 0 < share < 1 else 0
    if not 0 < inner < size:
        raise InputError(
            f'the picture has to take a share between 0 and 1 of {size} pixels, and leave one at least, got {share}.'
        )
    start = (size - inner) // 2
    middle = slice(start, start + inner)
    image = torch.zeros(1, *shape, dtype=torch.float32, device='cpu')
    mask = torch.ones(1, 1, size, size, dtype=torch.float32, device='cpu')
    image[..., middle, middle] = as_image(picture, (channels, inner, inner))
    mask[..., middle, middle] = 0
    return Task(image, Inpainting(mask), mask=mask)


def colorize(picture: Image, shape: Shape) -> Task:
    """Draw the colours anew."""
    return Task(as_image(picture, shape), Colorization(), place=Place(picture, lambda mask: Colorization()))


def super_resolve(picture: Image, shape: Shape, factor: int) -> Task:
    """Draw the details anew.

    A picture that is smaller than the model's by just the factor is the small one, and each of its pixels becomes a
    patch. Any other is brought to the model's size, and the operator knows the means of its patches.
    """
    operator = SuperResolution(factor)
    channels, size, _ = shape
    if (picture.width * factor, picture.height * factor) == (size, size):
        pixels = fit_picture(flattened(picture), channels, size // factor).repeat(factor, axis=0).repeat(factor, axis=1)
        return Task(to_tensor(pixels), operator)
    return Task(as_image(picture, shape), operator)


def deblur(picture: Image, shape: Shape, kernel: Sequence[float]) -> Task:
    """Draw what a blur took away; `kernel` is in pixels of the model's images, see `Deblurring`."""
    operator = Deblurring(kernel, shape[-1])
    blurred = as_image(picture, shape)
    return Task(operator.sharpened(blurred), operator, shown=blurred)


def stroke(picture: Image, shape: Shape) -> Task:
    """Draw a picture after a sketch in strokes of colour."""
    return Task(as_image(picture, shape), Guide(), STROKE_LEVELS)


def variations(picture: Image, shape: Shape) -> Task:
    """Draw pictures that are like `picture`."""
    return Task(as_image(picture, shape), Guide(), VARIATION_LEVELS)


def denoise(picture: Image, shape: Shape, sigma: float) -> Task:
    """Take away noise of the standard deviation `sigma`, images being in [-1, 1]."""
    check_number('sigma', sigma)
    # In a single step nothing is random, and all results would be the same.
    return Task(as_image(picture, shape), Denoising(), (sigma,), starts_at=sigma, num_candidates=1)


TASKS: dict[str, Callable[..., Task]] = {
    'inpaint': inpaint,
    'uncrop': uncrop,
    'colorize': colorize,
    'super-resolve': super_resolve,
    'deblur': deblur,
    'stroke': stroke,
    'variations': variations,
    'denoise': denoise,
}


def inpaint_everywhere(
    picture: Image, shape: Shape, side: int | None, mask: Image, resize_mask: bool = False
) -> WholeTask | None:
    """Draw anew where `mask` is white, wherever that is, in tiles around it; see `inpaint` and `WHOLE`.

    The picture is reduced as far as needed for the thickest part of the mask to fill half of a tile: from the other
    half, the model sees what belongs there.
    """
    channels, size, _ = shape
    mask = fitting_mask(picture, mask, resize_mask)
    if picture.size == (size, size):
        return None
    pixels = np.asarray(mask)
    if pixels.max() < HALF_WHITE:
        raise InputError('the mask marks nothing: paint what is to be filled white (255), the rest black.')
    shorter = min(picture.size)
    if side is None:
        thickness = 2 * cv2.distanceTransform((pixels > 0).astype(np.uint8), cv2.DIST_L2, 5).max()
        side = max(size, shorter * min(1, size / (2 * thickness)))
    width, height = (max(size, round(length * side / shorter)) for length in picture.size)
    if width * height > MAX_PIXELS:
        raise InputError(
            f'the whole picture would be scaled from {picture.width} x {picture.height} to {width} x '
            f'{height} pixels, more than {MAX_PIXELS}: give a smaller side (--side), or --region square.'
        )
    tiles = around(scaled_mask(pixels, height, width)[..., 0], size)
    rows, columns = zip(*tiles.corners)
    top, left, bottom, right = min(rows), min(columns), max(rows) + size, max(columns) + size
    across, down = picture.width / width, picture.height / height
    part = (
        math.floor(left * across),
        math.floor(top * down),
        min(picture.width, math.ceil(right * across)),
        min(picture.height, math.ceil(bottom * down)),
    )
    corners = tuple((row - top, column - left) for row, column in tiles.corners)
    tiles = Tiles(size, (bottom - top, right - left), corners)

    def make() -> Task:
        weights = as_weights(scaled_mask(pixels[part[1] : part[3], part[0] : part[2]], *tiles.shape))
        image = to_tensor(scaled_picture(flattened(picture), channels, part, *tiles.shape))
        return Task(image, Inpainting(weights), mask=weights, place=Place(picture, Inpainting, mask, part), tiles=tiles)

    return WholeTask(len(tiles), make)


def colorize_everywhere(picture: Image, shape: Shape, side: int | None) -> WholeTask | None:
    """Draw all colours anew; see `WHOLE`."""
    channels, size, _ = shape
    side = max(size, min(SMALLEST_SIDE, *picture.size)) if side is None else side
    width, height = (max(size, round(length * side / min(picture.size))) for length in picture.size)
    if (width, height) == (size, size):
        return None

    def make() -> Task:
        part = (0, 0, *picture.size)
        image = to_tensor(scaled_picture(flattened(picture), channels, part, height, width))
        place = Place(picture, lambda mask: Colorization(), part=part)
        return Task(image, Colorization(), place=place, tiles=whole_picture(height, width, size))

    return WholeTask(count_tiles(height, width, size), make)


def super_resolve_everywhere(picture: Image, shape: Shape, side: int | None, factor: int) -> WholeTask | None:
    """Enlarge the picture as it is by `factor`; see `WHOLE`."""
    operator = SuperResolution(factor)
    channels, size, _ = shape
    if side is not None:
        raise InputError(
            'the side of super-resolve is that of the picture times the factor: leave it out, or make the '
            'picture smaller.'
        )
    width, height = (length * factor for length in picture.size)
    if min(width, height) < size or (size, size) in (picture.size, (width, height)):
        return None

    def make() -> Task:
        pixels = scaled_picture(flattened(picture), channels, (0, 0, *picture.size), picture.height, picture.width)
        image = to_tensor(pixels.repeat(factor, axis=0).repeat(factor, axis=1))
        return Task(image, operator, tiles=whole_picture(height, width, size))

    return WholeTask(count_tiles(height, width, size), make)


def denoise_everywhere(picture: Image, shape: Shape, side: int | None, sigma: float) -> WholeTask | None:
    """Take away noise of the standard deviation `sigma` of the picture as it is; see `denoise` and `WHOLE`."""
    check_number('sigma', sigma)
    channels, size, _ = shape
    if side is not None:
        raise InputError('a picture is denoised as large as it is: leave the side out.')
    if min(picture.size) < size or picture.size == (size, size):
        return None
    settings = dict(sigmas=(sigma,), starts_at=sigma, num_candidates=1)

    def make() -> Task:
        pixels = scaled_picture(flattened(picture), channels, (0, 0, *picture.size), picture.height, picture.width)
        return Task(
            to_tensor(pixels), Denoising(), tiles=whole_picture(picture.height, picture.width, size), **settings
        )

    return WholeTask(count_tiles(picture.height, picture.width, size), make, **settings)


# The tasks that edit a whole picture. They return None where there is nothing beside what the model sees at once.
# `side` is the shorter side, in pixels, that the picture is scaled to; None chooses one.
WHOLE: dict[str, Callable[..., WholeTask | None]] = {
    'inpaint': inpaint_everywhere,
    'colorize': colorize_everywhere,
    'super-resolve': super_resolve_everywhere,
    'denoise': denoise_everywhere,
}


def as_image(picture: Image, shape: Shape) -> Tensor:
    """Return `picture` as an image (1, C, H, W) in [-1, 1]; behind its transparent parts there is white."""
    return to_tensor(fit_picture(flattened(picture), *shape[:2]))
