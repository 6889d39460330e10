"""Sizes of images: an integer for squares, or a pair (height, width), as users and files give them."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

Size = int | Sequence[int]  # side of a square, or height and width, in pixels


def height_and_width(size: Any, name: str = 'size', most: int | None = None) -> tuple[int, int]:
    """Return height and width of `size` in pixels.

    Args:
        size (int | Sequence[int]): The side of a square, or the pair (height, width).
        name (str): What errors call it.
        most (int, optional): Largest height and width.

    Raises:
        InputError: If it is neither, or a side is below 1 or above `most`.
    """
    if not isinstance(size, (list, tuple)):
        check_count(name, size, most=most)
        return int(size), int(size)
    if len(size) != 2:
        raise InputError(f'{name} has to be an integer, or a pair (height, width), got {size!r}.')
    for each, side in zip(('height', 'width'), size):
        check_count(f'the {each} of {name}', side, most=most)
    return int(size[0]), int(size[1])


def plain_size(size: Any, name: str = 'size', most: int | None = None) -> int | tuple[int, int]:
    """Return `size` as configs and files have it: an integer for squares, else (height, width); see above."""
    height, width = height_and_width(size, name, most)
    return height if height == width else (height, width)


def json_size(size: Any) -> int | list[int]:
    """Return `size` as JSON has it: an integer for squares, else [height, width]."""
    size = plain_size(size)
    return size if isinstance(size, int) else list(size)


def size_argument(text: str) -> int | tuple[int, int]:
    """Parse the size of an option: 'N', 'HEIGHT,WIDTH' or 'HEIGHTxWIDTH'. Its range is not checked."""
    try:
        height, *more = (int(part) for part in text.strip('()').replace('x', ',').split(','))
        (width,) = more or [height]
    except ValueError as error:
        raise ArgumentTypeError(f'has to be N, for squares, or HEIGHT,WIDTH, in pixels, got {text!r}') from error
    return height if height == width else (height, width)
