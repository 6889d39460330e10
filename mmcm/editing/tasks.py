"""From a user's pictures to what `ConsistencyModel.edit` takes. `TASKS` has each task, a function, by its name."""
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from mmcm.editing.base import EditingOperator
from mmcm.editing.colorization import Colorization
from mmcm.editing.deblurring import Deblurring
from mmcm.editing.guide import Denoising, Guide
from mmcm.editing.inpainting import Inpainting
from mmcm.editing.pictures import fit_picture, seen_square, to_tensor
from mmcm.editing.super_resolution import SuperResolution
from mmcm.utils.errors import InputError

Shape = tuple[int, int, int]  # channels, height and width of the model's images

STROKE_LEVELS = (5.38, 2.24)  # Song et al. (2023, Appendix D)
VARIATION_LEVELS = (1., )


class Task(NamedTuple):
    """What is to be done with a picture.

    Attributes:
        image (Tensor): The picture as the model takes it, (1, C, H, W), in [-1, 1].
        operator (EditingOperator): What is known of it.
        sigmas (Sequence[float], optional): The noise levels to draw with where the user names none; None for those of
            `editing_sampler`.
        full_size (EditingOperator, optional): What is known of the square that the model sees, in the picture's own
            pixels; None where the result has no place in the picture.
        shown (Tensor, optional): What the user gave, at the model's size, where that is not `image`.
    """

    image: Tensor
    operator: EditingOperator
    sigmas: Optional[Sequence[float]] = None
    full_size: Optional[EditingOperator] = None
    shown: Optional[Tensor] = None


def inpaint(picture: Image, shape: Shape, mask: Image) -> Task:
    """Draw anew where `mask` is white.

    Raises:
        InputError: If the mask is not of the picture's size, or marks nothing of what the model sees.
    """
    if mask.size != picture.size:
        raise InputError(f'the mask is of {mask.width} x {mask.height} pixels and the picture of {picture.width} x '
                         f'{picture.height}: they have to be of one size.')
    weights = fit_picture(mask, 1, shape[-1])
    if weights.max() < 128:
        raise InputError('the mask marks nothing in the central square of the picture, which the model sees: paint '
                         'what is to be filled white (255), the rest black.')
    square = np.asarray(mask.convert('L').crop(seen_square(mask)))[..., None]
    return Task(as_image(picture, shape), Inpainting(to_tensor(weights) / 2 + 0.5),
                full_size=Inpainting(to_tensor(square) / 2 + 0.5))


def uncrop(picture: Image, shape: Shape, share: float) -> Task:
    """Draw what is around `picture`, which takes `share` of the image's height and width, in (0, 1), in its middle.

    Raises:
        InputError: If nothing would be left of the picture, or around it.
    """
    channels, size, _ = shape
    inner = round(share * size) if 0 < share < 1 else 0
    if not 0 < inner < size:
        raise InputError(f'the picture has to take a share between 0 and 1 of {size} pixels, and leave one at least, '
                         f'got {share}.')
    start = (size - inner) // 2
    middle = slice(start, start + inner)
    image, mask = torch.zeros(1, *shape), torch.ones(1, 1, size, size)
    image[..., middle, middle] = as_image(picture, (channels, inner, inner))
    mask[..., middle, middle] = 0
    return Task(image, Inpainting(mask))


def colorize(picture: Image, shape: Shape) -> Task:
    """Draw the colours anew."""
    return Task(as_image(picture, shape), Colorization(), full_size=Colorization())


def super_resolve(picture: Image, shape: Shape, factor: int) -> Task:
    """Draw the details anew.

    A picture that is smaller than the model's by just the factor is the small one, and each of its pixels becomes a
    patch. Any other is brought to the model's size, and the operator knows the means of its patches.
    """
    operator = SuperResolution(factor)
    channels, size, _ = shape
    if (picture.width * factor, picture.height * factor) == (size, size):
        pixels = fit_picture(picture, channels, size // factor).repeat(factor, axis=0).repeat(factor, axis=1)
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
    return Task(as_image(picture, shape), Denoising(), (sigma, ))


TASKS: dict[str, Callable[..., Task]] = {
    'inpaint': inpaint, 'uncrop': uncrop, 'colorize': colorize, 'super-resolve': super_resolve, 'deblur': deblur,
    'stroke': stroke, 'variations': variations, 'denoise': denoise}


def as_image(picture: Image, shape: Shape) -> Tensor:
    """Return `picture` as an image (1, C, H, W) in [-1, 1]."""
    return to_tensor(fit_picture(picture, *shape[:2]))
