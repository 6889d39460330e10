"""Scaling of the data of the released models (Dhariwal & Nichol, 2021): box filters, then bicubic.

Pillow's filters define the result: they antialias when they shrink, unlike OpenCV's. Its box filter is computed here
again, bit for bit and in a fraction of the time: the first halving is most of the work.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from mmcm.datasets.transforms.load_image import MAX_PIXELS

MAX_SIDE = math.isqrt(MAX_PIXELS)  # pixels; a square of this side is the largest image that can be read again
PRECISION = 22  # bits of the weights of Pillow's filters
THIRD = round(2**PRECISION / 3)


def scale_shorter_side(pixels: np.ndarray, side: int) -> np.ndarray:
    """Scale an image so that its shorter side has `side` pixels; see `scale_to_cover`."""
    return scale_to_cover(pixels, side, side)


def scale_to_cover(pixels: np.ndarray, least_height: int, least_width: int) -> np.ndarray:
    """Scale an image to the smallest size that covers `least_height` x `least_width` pixels, by one factor.

    It is halved by averages over 2 x 2 pixels while both sides are at least twice as long, then scaled bicubically.

    Args:
        pixels (ndarray): (H, W, 3), (H, W, 1) or (H, W), uint8.
        least_height (int): In pixels, at least 1.
        least_width (int): In pixels, at least 1.

    Returns:
        ndarray: The scaled image, with as many dimensions; it may be `pixels` itself.
    """
    shape = pixels.shape
    if shape[2:] == (1,):
        pixels = pixels[..., 0]
    while pixels.shape[0] >= 2 * least_height and pixels.shape[1] >= 2 * least_width:
        pixels = halve(pixels)
    height, width = pixels.shape[:2]
    scale = max(least_height / height, least_width / width)
    if scale != 1:
        image = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], *shape[2:])


def halve(pixels: np.ndarray) -> np.ndarray:
    """Return `pixels` (H, W, ...) at half the height and width, rounded down: Pillow's resizing with a box filter.

    Pillow rounds twice, after the rows and after the columns, and halves always upwards. Of an odd number of pixels,
    the middle one enters a mean of three, or none.
    """
    height, width = pixels.shape[:2]
    if height > 2 * width:  # Pillow's releases differ in the order of rows and columns: use the installed one
        return np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BOX))
    flat = np.ascontiguousarray(pixels).reshape(-1)
    step = flat.size // (height * width)  # bytes of a pixel
    # The means of all neighbours, including unused ones: a CPU is fastest on contiguous memory.
    flat_means = np.empty(flat.size, np.uint8)
    mean(flat[:-step], flat[step:], flat_means[:-step])
    means = flat_means.reshape(pixels.shape)
    runs, threes = boxes(width)
    for place, start in threes:
        means[:, place] = mean_of_three(pixels[:, start : start + 3].swapaxes(0, 1))
    rows = halve_rows(means)
    # Nearest neighbours are the columns 0, 2, 4, ..., which OpenCV gathers several times faster than NumPy.
    parts = [
        cv2.resize(rows[:, run], (len(range(width)[run]) // 2, len(rows)), interpolation=cv2.INTER_NEAREST)
        for run in runs
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def halve_rows(pixels: np.ndarray) -> np.ndarray:
    """Return `pixels` (H, ...) at half the height, rounded down."""
    runs, threes = boxes(len(pixels))
    means = np.empty((len(pixels) // 2, *pixels.shape[1:]), np.uint8)
    for run in runs:
        pairs = pixels[run]
        mean(pairs[::2], pairs[1::2], means[run.start // 2 :][: len(pairs) // 2])
    for place, start in threes:
        means[place // 2] = mean_of_three(pixels[start : start + 3])
    return means


@lru_cache(maxsize=4096)
def boxes(length: int) -> tuple[list[slice], list[tuple[int, int]]]:
    """Return the pixels of a row that are averaged when it is halved.

    Args:
        length (int): Number of pixels, at least 2.

    Returns:
        list[slice]: Runs of pixels, of even lengths, in which pairs are averaged.
        list[tuple[int, int]]: Exceptions with three pixels: the first of the pair that they replace, and of the three.
    """
    if length % 2 == 0:
        return [slice(0, length)], []
    half = length // 2  # also the place of the pixel in the middle
    first_run = 2 * ((half + 1) // 2)
    runs = [slice(0, first_run), slice(first_run + 1, length)]
    # Rounding of floating point numbers decides which mean contains the middle one, so Pillow is queried.
    row = np.zeros((1, length), np.uint8)
    row[0, half] = 255
    takers = np.asarray(Image.fromarray(row).resize((half, 1), Image.Resampling.BOX))[0]
    threes = [(2 * taker + (2 * taker >= first_run), 2 * taker) for taker in np.flatnonzero(takers).tolist()]
    return [run for run in runs if run.start < length], threes


def mean(first: np.ndarray, second: np.ndarray, out: np.ndarray) -> None:
    """Write (first + second + 1) // 2 to `out`, without leaving the eight bits."""
    difference = first ^ second
    difference >>= 1
    np.bitwise_or(first, second, out=out)
    out -= difference


def mean_of_three(pixels: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the mean of three arrays in Pillow's fixed point arithmetic."""
    total = pixels[0].astype(np.int32) + pixels[1] + pixels[2]
    return ((total * THIRD + 2 ** (PRECISION - 1)) >> PRECISION).astype(np.uint8)
