"""Grids of images: many images of one size on a white background, with captions and names."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mmcm.renamed import moved_name
from mmcm.utils.images import to_pixels

CAPTION_HEIGHT = 16  # pixels
GAP = 4  # pixels between images on a grid
TILE_SIDE = 64  # pixels to which smaller images are magnified on a grid
GRID_SIDE = 256  # pixels to which a grid of few small images is magnified
FONT: dict[str, Any] = dict(fontFace=cv2.FONT_HERSHEY_SIMPLEX, fontScale=0.4, thickness=1)


def grid(
    images: Tensor | Sequence[Tensor],
    columns: int | None = None,
    min_side: int | None = None,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Lay images out in a grid on white, row by row.

    Args:
        images (Tensor | Sequence[Tensor]): uint8, N times (C, H, W), all of one size.
        columns (int, optional): Images per row; about as many as rows if None.
        min_side (int, optional): Smaller images are magnified, pixel by pixel, to about this side; None: to
            `TILE_SIDE`, or until the longer side of the grid is `GRID_SIDE`, whichever is larger.
        captions (Sequence[str], optional): A word to write below each image, shortened to its width.

    Returns:
        ndarray: The grid, (H, W, 3), uint8 RGB.
    """
    tiles = [to_pixels(image) for image in images]
    columns = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    if min_side is None:
        min_side = max(TILE_SIDE, GRID_SIDE // max(columns, math.ceil(len(tiles) / columns)))
    factor = max(1, min_side // tiles[0].shape[0])
    tiles = [tile.repeat(factor, axis=0).repeat(factor, axis=1) for tile in tiles]
    if captions is not None:
        tiles = [
            np.vstack([tile, caption(tile.shape[1], shortened(text, tile.shape[1]))])
            for tile, text in zip(tiles, captions)
        ]
    height, width, _ = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    canvas = np.full((GAP + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = GAP + index // columns * (height + GAP)
        left = GAP + index % columns * (width + GAP)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def named_grid(
    rows: Sequence[Tensor | Sequence[Tensor]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    min_side: int | None = None,
    captions: Sequence[str] | None = None,
) -> np.ndarray:
    """Lay images out in rows and columns with names, of one line or several.

    Args:
        rows (Sequence): For each row, one image (C, H, W), uint8, per column; all of one size.
        row_names (Sequence[str]): Names to the left of the rows.
        column_names (Sequence[str]): Names above the columns.
        min_side (int, optional): See `grid`.
        captions (Sequence[str], optional): See `grid`.

    Returns:
        ndarray: The grid, (H, W, 3), uint8 RGB.
    """
    body = grid([image for row in rows for image in row], len(column_names), min_side, captions)
    height, width = ((length - GAP) // number for length, number in zip(body.shape, (len(rows), len(column_names))))
    top = CAPTION_HEIGHT * max(len(name.split('\n')) for name in column_names)
    left = 2 * GAP + max(_text_width(name) for name in row_names)
    named = np.full((top + body.shape[0], left + body.shape[1], 3), 255, np.uint8)
    head = np.hstack([caption(width, name, top) for name in column_names])
    side = np.vstack([caption(left, name, height) for name in row_names])
    named[:top, left + GAP // 2 :][:, : head.shape[1]] = head
    named[top + GAP // 2 :, :left][: len(side)] = side
    named[top:, left:] = body
    return named


def titled(sheet: np.ndarray, title: str) -> np.ndarray:
    """Return `sheet` (H, W, 3), uint8 RGB, with a line of text above, shortened to its width."""
    return np.vstack([caption(sheet.shape[1], shortened(title, sheet.shape[1])), sheet])


def on_square(image: Tensor, side: int) -> Tensor:
    """Return `image` (C, H, W) as RGB, its longer side scaled to `side`, on a white square: (3, side, side)."""
    pixels = to_pixels(image)
    factor = side / max(pixels.shape[:2])
    if factor != 1:
        size = tuple(round(length * factor) for length in pixels.shape[1::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = ((side - length) // 2 for length in pixels.shape[:2])
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return torch.from_numpy(square).permute(2, 0, 1)


def caption(width: int, text: str, height: int = CAPTION_HEIGHT) -> np.ndarray:
    """Return a white strip, (height, width, 3), with the lines of `text` in the centre."""
    strip = np.full((height, width, 3), 255, np.uint8)
    lines = text.split('\n')
    for index, line in enumerate(map(drawable, lines)):
        middle = height // 2 + round((index - (len(lines) - 1) / 2) * CAPTION_HEIGHT)
        origin = (max(0, (width - _text_width(line)) // 2), middle + CAPTION_HEIGHT // 2 - 4)
        cv2.putText(strip, line, origin, color=(0, 0, 0), lineType=cv2.LINE_AA, **FONT)
    return strip


def shortened(text: str, width: int) -> str:
    """Return `text`, of one line, cut to fit a caption of `width` pixels."""
    if _text_width(text) <= width:
        return text
    return next((cut for end in range(len(text) - 1, 0, -1) if _text_width(cut := f'{text[:end]}..') <= width), '')


def _text_width(text: str) -> int:
    """Return the width of the longest line of `text`, in pixels."""
    return max(cv2.getTextSize(drawable(line), **FONT)[0][0] for line in text.split('\n'))


def drawable(text: str) -> str:
    """Replace bytes that are no characters by ?: OpenCV ends the process at them."""
    return text.encode('utf-8', 'replace').decode()


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
