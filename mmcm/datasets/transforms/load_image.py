"""The first transform of a pipeline over files: from an encoded image to pixels, as the reference sees them."""
import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmcm.registry import TRANSFORMS
from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import (
    FORMATS,
    MAX_IMAGE_BYTES,
    MAX_PIXELS,
    MAX_SEGMENTS,
    PNG_SIGNATURE,
    is_plain_png,
    why_refused,
)

SIXTEEN_BITS = ('I', 'I;16', 'I;16B', 'I;16L')  # Pillow's modes of 16-bit grey
TAIL = 64  # bytes at the end of a file, among which that of a whole image lies
START_OF_FRAME = frozenset((0xC0, 0xC1, 0xC2))  # of the Huffman-coded kinds: baseline, extended, progressive
WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))  # JPEG markers that nothing belongs to


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode `img_bytes`, or else the file `img_path`, to `img`: (H, W, 3), uint8, BGR.

    The result is what `PIL.Image.open(...).convert('RGB')` gives, within one level, which is how the data of the
    released models were read: EXIF orientation and colour profiles are not looked at, what is transparent shows the
    colour behind its transparency. Of 16 bits, the upper eight count; Pillow does so with colours, too, but makes grey
    ones white. Whole files of common kinds go through OpenCV, which is faster; Pillow decides on everything else.

    Raises:
        InputError: If the file cannot be read, is damaged or no image, or has more than `MAX_PIXELS` pixels, which is
            known before they are decoded.
    """

    def transform(self, results: dict) -> dict:
        """Add `img`."""
        source, content = results['img_path'], results.pop('img_bytes', None)
        if content is None:
            try:
                content = read_file(source, MAX_IMAGE_BYTES)
            except OSError as error:
                raise InputError(f'{source} cannot be read: {error.strerror}.') from error
            except Unreadable as error:
                raise InputError(f'{source} is too large, {error}: remove it, or make it smaller.') from error
        results['img'] = decode(content, source)
        return results


class Header(NamedTuple):
    """What an encoded image says of itself: the size in pixels, and whether OpenCV sees in it what Pillow does."""

    width: int
    height: int
    common: bool


def decode(content: bytes, source: Any) -> np.ndarray:
    """Return the pixels (H, W, 3), uint8, BGR, of an encoded image; `source` is what errors call it."""
    try:
        header = read_header(content)
    except (struct.error, IndexError):  # it ends before its header does
        header = None
    if header is not None:
        check_decodable(header.width, header.height, content, source)
        if header.common:
            try:
                pixels = cv2.imdecode(
                    np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            except cv2.error:  # Pillow says what is wrong
                pixels = None
            if pixels is not None and pixels.shape[:2] == (header.height, header.width):
                return pixels
    return decode_with_pillow(content, source)


def decode_with_pillow(content: bytes, source: Any) -> np.ndarray:
    """See `decode`."""
    if not content:
        raise InputError(f'{source} is empty: remove it, or get it again.')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of oddities that do not keep it from decoding; the size is checked here
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.UnidentifiedImageError as error:
            raise InputError(f'{source} is no image that can be read, whatever its name says: remove it, or get it '
                             'again.') from error
        except Image.DecompressionBombError as error:
            raise InputError(f'{source} has too many pixels: {error}') from error
        except Exception as error:  # decoders raise whatever they like at a damaged file, here and below
            raise damaged(source, error) from error
        check_decodable(*image.size, content, source)
        try:
            if image.mode in SIXTEEN_BITS:
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])
        except Exception as error:
            raise damaged(source, error) from error


def check_size(width: int, height: int, source: Any) -> None:
    """Raise an InputError if an image is too large to be decoded."""
    if width * height > MAX_PIXELS:
        raise InputError(f'{source} says that it has {width} x {height} pixels, more than {MAX_PIXELS}: remove it, or '
                         'make it smaller.')


def check_decodable(width: int, height: int, content: bytes, source: Any) -> None:
    """Raise an InputError if an image is too large to be decoded, or asks for more than its file `content` may."""
    check_size(width, height, source)
    reason = why_refused(content, width, height)
    if reason:
        raise InputError(f'{source} is not decoded: {reason}. Remove it, make it smaller, or save it without '
                         'compression.')


def damaged(source: Any, error: Exception) -> InputError:
    """Return the error of an image that cannot be decoded."""
    return InputError(f'{source} is damaged ({str(error) or type(error).__name__}): remove it, or get it again.')


def read_header(content: bytes) -> Optional[Header]:
    """Return the header of a JPEG, PNG or WebP; None for other formats, and where there is none."""
    if content.startswith(b'\xff\xd8\xff'):
        return read_jpeg_header(content)
    if content.startswith(PNG_SIGNATURE):
        width, height, depth, colour, _, _, _ = struct.unpack_from('>IIBBBBB', content, 16)
        grey_or_rgb = depth == 8 and colour in (0, 2)
        return Header(width, height, grey_or_rgb and b'IEND' in content[-TAIL:] and is_plain_png(content))
    if content.startswith(b'RIFF') and content[8:15] == b'WEBPVP8':
        return read_webp_header(content)
    return None


def read_jpeg_header(content: bytes) -> Optional[Header]:
    """See `read_header`. Of four channels (CMYK), the two libraries make different colours."""
    for marker, start in jpeg_segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, channels = struct.unpack_from('>BHHB', content, start)
            whole = content.rfind(b'\xff\xd9', -TAIL) >= 0
            return Header(width, height, marker in START_OF_FRAME and depth == 8 and channels in (1, 3) and whole)
    return None


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker of a JPEG and the position of what belongs to it, up to the compressed data."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        if content[position] != 0xFF:
            return
        marker = content[position + 1]
        position += 2
        if marker == 0xFF:  # a filler
            position -= 1
        elif marker in (0xD9, 0xDA):  # the end, or the data
            return
        elif marker not in WITHOUT_LENGTH:
            yield marker, position + 2
            position += struct.unpack_from('>H', content, position)[0]


def read_webp_header(content: bytes) -> Optional[Header]:
    """See `read_header`. The extended format, which may move or be transparent, is left to Pillow."""
    size, kind = struct.unpack_from('<I4x4s', content, 4)
    whole = len(content) >= size + 8
    if kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', content, 26))
        return Header(width, height, whole)
    if kind == b'VP8L':
        bits, = struct.unpack_from('<I', content, 21)
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, whole)
    if kind == b'VP8X':
        width, height = (int.from_bytes(content[start:start + 3], 'little') + 1 for start in (24, 27))
        return Header(width, height, False)
    return None
