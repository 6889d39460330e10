"""Layout of the tiles in which an image is edited: over the whole image, or around a mask."""

import math

import cv2
import numpy as np

from mmcm.operators import Tiles
from mmcm.utils.image_shape import Size, height_and_width, plain_size

OVERLAP = 0.5  # least overlap of two neighbours, as a ratio of a tile's height or width


def count_tiles(height: int, width: int, size: Size) -> int:
    """Return the number of tiles of `covering_tiles`, without making them."""
    high, wide = height_and_width(size)
    return _count(height, high) * _count(width, wide)


def covering_tiles(height: int, width: int, size: Size) -> Tiles:
    """Return evenly spaced tiles of `size` that cover an image of `height` x `width` and overlap by `OVERLAP` or more.

    Args:
        height (int): Of the image, in pixels.
        width (int): Of the image, in pixels.
        size (int | Sequence[int]): Of a tile: the side of a square, or (height, width).
    """
    high, wide = height_and_width(size)
    return Tiles(
        plain_size(size),
        (height, width),
        tuple((top, left) for top in starts(0, height, high, height) for left in starts(0, width, wide, width)),
    )


def tiles_around(mask: np.ndarray, size: Size) -> Tiles:
    """Return the tiles that cover a mask and what lies around it.

    Args:
        mask (ndarray): (H, W), above 0 where the image is edited; height and width are at least those of a tile.
        size (int | Sequence[int]): Of a tile in pixels: the side of a square, or (height, width).
    """
    (height, width), (high, wide) = mask.shape, height_and_width(size)
    # Parts that fit in one tile count as one: each is dilated by half of their largest distance.
    margin = min(high, wide) // 4
    kernel = np.ones((2 * (margin // 2) + 1,) * 2, np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate((mask > 0).astype(np.uint8), kernel))
    corners: dict[tuple[int, int], None] = {}
    for left, top, box_width, box_height, _ in boxes[1:].tolist():  # the first one is the background
        for row in starts(top, top + box_height, high, height):
            for column in starts(left, left + box_width, wide, width):
                if (mask[row : row + high, column : column + wide] > 0).any():
                    corners[row, column] = None
    return Tiles(plain_size(size), (height, width), tuple(corners))


def starts(first: int, last: int, size: int, length: int) -> list[int]:
    """Return the starts of the tiles that cover the pixels `first` to `last` of `length`; a single tile is centred."""
    number = _count(last - first, size)
    if number == 1:
        return [min(max(0, (first + last - size) // 2), length - size)]
    return np.linspace(first, last - size, number).round().astype(int).tolist()


def _count(length: int, size: int) -> int:
    """Return the number of tiles in a row that cover `length` pixels."""
    return 1 if length <= size else math.ceil((length - size) / (size * (1 - OVERLAP))) + 1
