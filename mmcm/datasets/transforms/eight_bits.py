"""Conversion of images to 8 bits: grey of 16 and 12 bits and deep colours; values without a known white are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from mmcm.utils.bounded import Unreadable

SIXTEEN_BITS = ('I', 'I;16', 'I;16B', 'I;16L', 'I;16N')  # Pillow's modes of more than 8 bits of grey
LEVELS = {'L;2': 4, 'L;4': 16}  # grey levels of Pillow's raw modes
WHITE = 65535
RAW_MODE, WHITE_IS_ZERO = 'mmcm raw mode', 'mmcm white is zero'  # keys of `info` for properties of the file
PHOTOMETRIC = 262  # tag of a TIFF, with value 0 if white is 0


def note_depth(image: Image.Image) -> None:
    """Note in `info` of an opened, not yet decoded image the properties of its depth that decoding loses.

    The transparent colour of a PNG is converted to 8 bits, like the pixels: Pillow reads it in the depth of the file.
    All colours of 16 bits with the same upper eight become transparent.
    """
    tiles = getattr(image, 'tile', None)
    if not tiles or len(tiles[0]) < 4:
        return
    raw = tiles[0][3]
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    image.info[RAW_MODE] = raw
    image.info[WHITE_IS_ZERO] = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC) == 0
    colour = image.info.get('transparency') if image.format == 'PNG' else None
    if raw in LEVELS and isinstance(colour, int):
        image.info['transparency'] = colour * 255 // (LEVELS[raw] - 1)
    elif raw == 'RGB;16B' and isinstance(colour, tuple):
        image.info['transparency'] = tuple(value >> 8 for value in colour)


def in_eight_bits(image: Image.Image, convert: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Convert an image to 8 bits: grey of more bits to mode L, or to LA if one of its levels is transparent.

    In 16 bits, and in integers of 32 bits, 0 is black and 65535 white; in 12 bits, 4095 is white. A TIFF may declare
    that 0 is white. Images of 8 bits are unchanged.

    Args:
        image (Image): The image, after `note_depth`.
        convert (Callable): Function from levels of 16 bits to levels of 8.

    Raises:
        Unreadable: If it has floating point numbers or values beyond 16 bits, or would be entirely black.
    """
    if image.mode == 'F':
        raise Unreadable('its values are floating point numbers, of which none is known to be white')
    if image.mode not in SIXTEEN_BITS:
        check_deep_colours(image)
        return image
    values = np.asarray(image)
    grey = Image.fromarray(convert(levels_of(values, image.info)).astype(np.uint8))
    level = image.info.get('transparency')
    if level is not None:
        grey.putalpha(Image.fromarray(np.where(values == level, 0, 255).astype(np.uint8)))
    return grey


def levels_of(values: np.ndarray, info: dict[Any, Any]) -> np.ndarray:
    """Return grey `values` of an image with this `info` as levels from 0, black, to 65535, white."""
    lowest, highest = int(values.min()), int(values.max())
    if not 0 <= lowest <= highest <= WHITE:
        raise Unreadable(f'its values, {lowest} to {highest}, lie beyond 16 bits, of which {WHITE} is white')
    if info.get(RAW_MODE) == 'I;12':
        values, highest = values << 4 | values >> 8, highest << 4
    if 0 < highest < 256:
        raise Unreadable(f'its values end at {highest}, and {WHITE} is the white of 16 bits: all of it would be black')
    return WHITE - values if info.get(WHITE_IS_ZERO) else values


def check_deep_colours(image: Image.Image) -> None:
    """Raise Unreadable if an image has colours of 16 bits whose upper eight are 0 everywhere."""
    raw = image.info.get(RAW_MODE)
    if not (isinstance(raw, str) and ';16' in raw):
        return
    colours: Any = image.getextrema()[: 3 if image.mode.startswith('RGB') else 1]
    if max(highest for _, highest in colours) == 0:
        raise Unreadable('the upper eight of its 16 bits are 0 everywhere: all of it would be black')
