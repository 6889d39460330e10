"""Conversion of images to NumPy, Pillow and files."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from mmcm.renamed import old_names
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.provenance import with_record

__getattr__ = old_names(__name__)
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')
LARGEST_SIDES = {'.webp': 16383, '.jpg': 65500, '.jpeg': 65500}  # pixels that a format has room for, in OpenCV


def to_pixels(image: Tensor) -> np.ndarray:
    """Return an image (C, H, W), uint8 with one or three channels, as pixels (H, W, 3), RGB."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def to_pil(image: Tensor) -> Image.Image:
    """Return an image (C, H, W), uint8 with one or three channels, as a Pillow image of mode L or RGB."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def shape_in_words(shape: Sequence[int]) -> str:
    """Return the `shape` (C, H, W) of an image in words."""
    channels, height, width = shape
    return f'{width} x {height} pixels in {channels} channel{"s" * (channels != 1)}'


def check_image_path(path: Path) -> None:
    """Raise an InputError unless an image can be written to `path`, whose folder is created."""
    check_suffix(path)
    make_folder(path.parent)
    if path.is_dir():
        raise InputError(f'{path} is a folder: name a file.')


def check_suffix(path: Path) -> None:
    """Raise an InputError unless `path` has a suffix of an image format."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f'{path} has no suffix of an image ({", ".join(SUFFIXES)}).')


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return `pixels` (H, W, 3), uint8 RGB, as the content of a PNG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, 'PNG')
    return content.getvalue()


def write_image(path: Path, pixels: np.ndarray, record: Mapping[str, Any] | None = None) -> None:
    """Write `pixels` (H, W, 3 or 4), uint8 RGB or RGBA, to `path`, in the format of its suffix: whole or not at all.

    Args:
        path (Path): The file.
        pixels (ndarray): The image.
        record (Mapping, optional): What made it; see `mmcm.utils.provenance`. Only PNGs have room for it.

    Raises:
        InputError: If it cannot be written, or the format has no room for as many pixels.
    """
    height, width, _ = pixels.shape
    if max(height, width) > LARGEST_SIDES.get(path.suffix.lower(), math.inf):
        raise InputError(
            f'{path} cannot be written, its format has no room for {width} x {height} pixels: name a .png '
            'file, a folder for single images, or ask for fewer.'
        )
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    # OpenCV's own default makes PNG files five times as large.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6] if path.suffix.lower() == '.png' else []
    whole, encoded = cv2.imencode(path.suffix, pixels, options)
    assert whole
    content = encoded.tobytes()
    if record is not None and path.suffix.lower() == '.png':
        content = with_record(content, record)
    write_bytes(path, content)
