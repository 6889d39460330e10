"""A user's picture, whatever its format and size, as a model takes it."""
import warnings
from pathlib import Path
from typing import Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmcm.datasets.transforms.center_crop import CenterCropToSquare
from mmcm.utils.errors import InputError

FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF')  # by content, not by suffix
MAX_PIXELS = 2**26  # 67 million, 200 MB when decoded
SIXTEEN_BITS = ('I;16', 'I;16B', 'I;16L', 'I')


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


def too_large(path: Path, size: str = '') -> InputError:
    """Return the error of a picture that is not to be decoded."""
    return InputError(f'{path} has {size}too many pixels, more than {MAX_PIXELS}: make it smaller.')


def broken(path: Path, error: Exception) -> InputError:
    """Return the error of a picture whose decoder raised `error`."""
    return InputError(f'{path} cannot be decoded, it is broken or of an unusual kind: {error}. Save it again as a PNG '
                      'file.')
