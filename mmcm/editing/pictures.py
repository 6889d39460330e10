"""A user's picture, whatever its format and size, as a model takes it."""
import warnings
from pathlib import Path
from typing import Union

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mmcm.datasets.transforms.center_crop import CenterCropToSquare
from mmcm.datasets.transforms.load_image import MAX_PIXELS, SIXTEEN_BITS
from mmcm.editing.base import EditingOperator
from mmcm.utils.errors import InputError

FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF')  # by content, not by suffix


def read_picture(path: Union[str, Path], background: str = 'white') -> Image.Image:
    """Read the picture, or the first of those, in a file.

    It is turned as its EXIF data says. 16 bits become 8. What is transparent shows `background`. Grey, palettes and
    CMYK become RGB. Colour profiles are not looked at.

    Args:
        path (str | Path): The file.
        background (str): What lies behind a transparent picture, a colour that Pillow knows.

    Returns:
        Image: Of mode RGB.

    Raises:
        InputError: If there is no such file, it is no picture, it is broken, or it has too many pixels, which is known
            before they are decoded.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'there is no picture {path}: name a file ({", ".join(FORMATS)}).')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # our own limit is lower
            opened = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except UnidentifiedImageError as error:
        raise InputError(f'{path} is no picture that can be read ({", ".join(FORMATS)}), whatever its name says.'
                         if path.stat().st_size else f'{path} is empty.') from error
    except Exception as error:  # a decoder raises whatever comes to its mind at a broken file, here and below
        raise broken(path, error) from error
    with opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise too_large(path, f'{opened.width} x {opened.height} = ')
        try:
            return as_rgb(ImageOps.exif_transpose(opened), background)
        except Exception as error:
            raise broken(path, error) from error


def as_rgb(image: Image.Image, background: str) -> Image.Image:
    """Return `image` in mode RGB; see `read_picture`."""
    if image.mode in SIXTEEN_BITS:
        values = np.asarray(image).astype(np.float64) * (255 / 65535)
        if not 0 <= values.min() <= values.max() <= 255:
            raise ValueError('its values lie beyond 16 bits')
        image = Image.fromarray(np.round(values).astype(np.uint8))
    elif image.mode == 'F':
        raise ValueError('its values are floating point numbers, without a white; 8 or 16 bits are needed')
    if 'A' in image.getbands() or 'transparency' in image.info:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, background), image)
    return image.convert('RGB')


def fit_picture(image: Image.Image, channels: int, size: int) -> np.ndarray:
    """Return the central square of `image`, scaled: (size, size, channels), uint8.

    The rule is `CenterCropToSquare`'s, as in training. A picture of that size stays as it is.

    Args:
        image (Image): A picture.
        channels (int): 3, or 1 for grey (ITU-R BT.601).
        size (int): Height and width of the result in pixels.
    """
    pixels = np.asarray(image.convert('L' if channels == 1 else 'RGB'))
    return CenterCropToSquare(size).transform(dict(img=pixels))['img'].reshape(size, size, channels)


def seen_square(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return the central square that `fit_picture` shows of `picture`: left, top, right and bottom, in its pixels."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


def paste_back(picture: Image.Image, result: np.ndarray, operator: EditingOperator) -> Image.Image:
    """Return `picture` at its own size, with `result` enlarged in the square that the model saw of it.

    Args:
        picture (Image): The picture that was edited.
        result (ndarray): What became of the square, (H, W, 3), uint8 RGB.
        operator (EditingOperator): What is known of the square at its own size, which is kept to the pixel.

    Returns:
        Image: Of mode RGB.
    """
    square = seen_square(picture)
    side = square[2] - square[0]
    enlarged = Image.fromarray(result).resize((side, side), Image.Resampling.LANCZOS)
    kept = operator.keep(*(to_tensor(np.asarray(image.convert('RGB'))) for image in (picture.crop(square), enlarged)))
    pixels = ((kept[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pasted = picture.convert('RGB')
    pasted.paste(Image.fromarray(pixels.numpy()), square[:2])
    return pasted


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return `pixels` (H, W, C), uint8, as an image (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def too_large(path: Path, size: str = '') -> InputError:
    """Return the error of a picture that is not to be decoded."""
    return InputError(f'{path} has {size}too many pixels, more than {MAX_PIXELS}: make it smaller.')


def broken(path: Path, error: Exception) -> InputError:
    """Return the error of a picture whose decoder raised `error`."""
    return InputError(f'{path} cannot be decoded, it is broken or of an unusual kind: {error}. Save it again as a PNG '
                      'file.')
