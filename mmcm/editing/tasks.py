"""From a user's pictures to what `ConsistencyModel.edit` takes. `TASKS` has each task, a function, by its name.

Pictures are of mode RGB or RGBA (see `mmcm.editing.pictures.as_rgb`), masks of mode RGB or L.
"""
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

import numpy as np
import torch
from PIL.Image import Image, Resampling
from torch import Tensor

from mmcm.editing.base import EditingOperator
from mmcm.editing.colorization import Colorization
from mmcm.editing.deblurring import Deblurring
from mmcm.editing.guide import Denoising, Guide
from mmcm.editing.inpainting import Inpainting
from mmcm.editing.pictures import Place, as_weights, fit_mask, fit_picture, flattened, to_tensor
from mmcm.editing.super_resolution import SuperResolution
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError

Shape = tuple[int, int, int]  # channels, height and width of the model's images

STROKE_LEVELS = (5.38, 2.24)  # Song et al. (2023, Appendix D)
VARIATION_LEVELS = (1., )
NUM_CANDIDATES = 4


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
    """

    image: Tensor
    operator: EditingOperator
    sigmas: Optional[Sequence[float]] = None
    shown: Optional[Tensor] = None
    mask: Optional[Tensor] = None
    place: Optional[Place] = None
    starts_at: Optional[float] = None
    num_candidates: int = NUM_CANDIDATES


def inpaint(picture: Image, shape: Shape, mask: Image, resize_mask: bool = False) -> Task:
    """Draw anew where `mask` is white.

    With `resize_mask`, a mask of another size is stretched to the picture's, height and width each by themselves: one
    that is smaller has its pixels repeated, so that black and white stay what they are; of one that is larger, the
    pixels that become one are averaged.

    Raises:
        InputError: If the mask is of another size and is not to be resized, or marks nothing of what the model sees.
    """
    if not isinstance(resize_mask, (bool, np.bool_)):
        raise InputError(f'resize_mask has to be True or False, got {resize_mask!r}.')
    mask = mask.convert('L')
    if mask.size != picture.size:
        if not resize_mask:
            raise InputError(f'the mask is of {mask.width} x {mask.height} pixels and the picture of {picture.width} x '
                             f'{picture.height}: they have to be of one size. Give --resize-mask (resize_mask=True in '
                             'Python) to stretch the mask to that of the picture.')
        mask = mask.resize(picture.size, Resampling.BOX)
    weights = fit_mask(mask, shape[-1])
    if weights.max() < 128:
        raise InputError('the mask marks nothing in the central square of the picture, which the model sees: paint '
                         'what is to be filled white (255), the rest black.')
    weights = as_weights(weights)
    return Task(as_image(picture, shape), Inpainting(weights), mask=weights, place=Place(picture, Inpainting, mask))


def uncrop(picture: Image, shape: Shape, share: float) -> Task:
    """Draw what is around `picture`, which takes `share` of the image's height and width, in (0, 1), in its middle.

    Raises:
        InputError: If nothing would be left of the picture, or around it.
    """
    check_number('share', share)
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
    return Task(as_image(picture, shape), Denoising(), (sigma, ), starts_at=sigma, num_candidates=1)


TASKS: dict[str, Callable[..., Task]] = {
    'inpaint': inpaint, 'uncrop': uncrop, 'colorize': colorize, 'super-resolve': super_resolve, 'deblur': deblur,
    'stroke': stroke, 'variations': variations, 'denoise': denoise}


def as_image(picture: Image, shape: Shape) -> Tensor:
    """Return `picture` as an image (1, C, H, W) in [-1, 1]; behind its transparent parts there is white."""
    return to_tensor(fit_picture(flattened(picture), *shape[:2]))
