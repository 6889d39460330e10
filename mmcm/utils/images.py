"""Pictures as files, and many of them on one sheet."""
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')
CAPTION_HEIGHT = 16  # pixels
GAP = 4  # pixels between images on a sheet


def to_pixels(image: Tensor) -> np.ndarray:
    """Return an image (C, H, W), uint8 with one or three channels, as pixels (H, W, 3), RGB."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def to_pil(image: Tensor) -> Image.Image:
    """Return an image (C, H, W), uint8 with one or three channels, as one of Pillow's, of mode L or RGB."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def grid(images: Union[Tensor, Sequence[Tensor]],
         columns: Optional[int] = None,
         min_side: int = 64,
         captions: Optional[Sequence[str]] = None) -> np.ndarray:
    """Lay images out on a white sheet, row by row.

    Args:
        images (Tensor | Sequence[Tensor]): uint8, N times (C, H, W), all of one size.
        columns (int, optional): Images per row; about as many as rows if None.
        min_side (int): Smaller images are magnified, pixel by pixel, to at least this side.
        captions (Sequence[str], optional): A word to write below each image.

    Returns:
        ndarray: The sheet, (H, W, 3), uint8 RGB.
    """
    tiles = [to_pixels(image) for image in images]
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    factor = max(1, min_side // tiles[0].shape[0])
    tiles = [tile.repeat(factor, axis=0).repeat(factor, axis=1) for tile in tiles]
    if captions is not None:
        tiles = [np.vstack([tile, _caption(tile.shape[1], text)]) for tile, text in zip(tiles, captions)]
    columns = min(columns, len(tiles))
    height, width, _ = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((GAP + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top = GAP + index // columns * (height + GAP)
        left = GAP + index % columns * (width + GAP)
        sheet[top:top + height, left:left + width] = tile
    return sheet


def _caption(width: int, text: str) -> np.ndarray:
    """Return a white strip, (16, width, 3), with `text` in its middle."""
    strip = np.full((CAPTION_HEIGHT, width, 3), 255, np.uint8)
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    origin = (max(0, (width - text_width) // 2), CAPTION_HEIGHT - 4)
    return cv2.putText(strip, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)


def check_picture_path(path: Path) -> None:
    """Raise an InputError unless a picture could be written to `path`; makes the folder it lies in."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'{path} has no suffix of a picture ({", ".join(SUFFIXES)}).')
    make_folder(path.parent)
    if path.is_dir():
        raise InputError(f'{path} is a folder: name a file.')


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write `pixels` (H, W, 3), uint8 RGB, to `path`, in the format of its suffix: whole or not at all."""
    # OpenCV's own default makes PNG files five times as large.
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    write_bytes(path, encoded.tobytes())
