"""Decoding of images to pixels as in the reference, the first transform of a pipeline over files."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageColor

from mmcm.datasets.transforms.eight_bits import in_eight_bits, note_depth
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
    png_chunks,
    why_refused,
)

STRIP_PIXELS = 2**20  # pixels that are composited at a time: each step makes a copy
TAIL = 64  # bytes at the end of a file that contain the end marker of a complete image
START_OF_FRAME = frozenset((0xC0, 0xC1, 0xC2))  # of the Huffman-coded kinds: baseline, extended, progressive
WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))  # JPEG markers without a segment
DEFAULT_BACKGROUND, NO_BACKGROUND = 'white', 'none'

Colour = tuple[int, int, int]  # red, green and blue, 0 to 255


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode `img_bytes`, or else the file `img_path`, to `img`: (H, W, 3), uint8, BGR.

    The result equals that of `PIL.Image.open(...).convert('RGB')`, within one level, by which the data of the released
    models were read: EXIF orientation and colour profiles are ignored, and only the first of several images in a file
    counts. Of 16 bits, the upper eight are used; Pillow does so for colours, but turns grey images white. Values
    without a known white are refused (`in_eight_bits`). OpenCV, which is faster, decodes complete files of common
    kinds, Pillow all others.

    Transparent images are composited on `background`, a colour for `check_background`, which data sets of image files
    set by their argument of this name (white by default). Afterwards, `transparent` says whether the image was one.

    Raises:
        InputError: If the file cannot be read, is damaged or no image, or declares more than `MAX_PIXELS` pixels.
    """

    def transform(self, results: dict) -> dict:
        """Add `img` and `transparent`."""
        source, content = results['img_path'], results.pop('img_bytes', None)
        if content is None:
            try:
                content = read_file(source, MAX_IMAGE_BYTES)
            except OSError as error:
                raise InputError(f'{source} cannot be read: {error.strerror}.') from error
            except Unreadable as error:
                raise InputError(f'{source} is too large, {error}: remove it, or make it smaller.') from error
        background = check_background(results.get('background', DEFAULT_BACKGROUND))
        results['img'], results['transparent'] = decode_on(content, source, background)
        return results


def check_background(background: str) -> Colour | None:
    """Return red, green and blue, 0 to 255, of the colour behind transparent images; None for 'none'.

    Args:
        background (str): A colour, by its name in CSS ('white') or as '#rrggbb', or 'none', which drops the alpha
            channel and shows the colours under alpha 0, as in OpenAI's programs.

    Raises:
        InputError: If it is no opaque colour.
    """
    if background == NO_BACKGROUND:
        return None
    try:
        red, green, blue = ImageColor.getrgb(background)  # type: ignore[misc]  # an alpha value is a ValueError, too
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"background has to be the name of a colour, such as 'white', or '#rrggbb', or "
            f"'{NO_BACKGROUND}', which leaves transparency out, got {background!r}."
        ) from error
    return red, green, blue


class Header(NamedTuple):
    """Declared size of an encoded image in pixels, and whether OpenCV decodes it like Pillow."""

    width: int
    height: int
    common: bool


def decode(content: bytes, source: Any) -> np.ndarray:
    """Return the pixels (H, W, 3), uint8, BGR, of an encoded image, on white if it is transparent.

    Args:
        content (bytes): The encoded image.
        source (Any): Its name in messages.

    Raises:
        InputError: See `LoadImage`.
    """
    return decode_on(content, source, check_background(DEFAULT_BACKGROUND))[0]


def decode_on(content: bytes, source: Any, background: Colour | None) -> tuple[np.ndarray, bool]:
    """Return the pixels (H, W, 3), uint8, BGR, of an encoded image, and whether it is transparent.

    Args:
        content (bytes): The encoded image.
        source (Any): Its name in messages.
        background (tuple[int, int, int], optional): See `opaque`.
    """
    try:
        header = read_header(content)
    except (struct.error, IndexError):  # it ends before its header does
        header = None
    if header is not None:
        check_decodable(header.width, header.height, content, source)
        if header.common:
            try:
                pixels = cv2.imdecode(
                    np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
                )
            except cv2.error:  # Pillow reports what is wrong
                pixels = None
            if pixels is not None and pixels.shape[:2] == (header.height, header.width):
                return pixels, False
    return decode_with_pillow(content, source, background)


def decode_with_pillow(content: bytes, source: Any, background: Colour | None) -> tuple[np.ndarray, bool]:
    """See `decode_on`."""
    if not content:
        raise InputError(f'{source} is empty: remove it, or get it again.')
    with decoding(source, 'Remove it, or get it again.'):
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
        check_decodable(*image.size, content, source)
        note_depth(image)
        image, transparent = opaque(in_eight_bits(image, lambda values: values >> 8), background)
        return np.ascontiguousarray(np.asarray(image)[..., ::-1]), transparent


@contextmanager
def decoding(source: Any, advice: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Turn what Pillow raises within the block into an InputError that names `source` and ends in `advice`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about harmless oddities; the size is checked here
            yield
    except InputError:
        raise
    except Unreadable as error:
        raise InputError(f'{source} is not read, {error}: save it in 8 bits.') from error
    except Image.UnidentifiedImageError as error:
        raise InputError(
            f'{source} is no image that can be read ({", ".join(FORMATS)}), whatever its name says. {advice}'
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f'{source} has more pixels than can be read, more than {max_pixels}: make it smaller, or remove it.'
        ) from error
    except Exception as error:  # decoders raise anything at a damaged file
        reason = str(error) or type(error).__name__
        raise InputError(
            f'{source} cannot be decoded, it is damaged or of an unusual kind: {reason}. {advice}'
        ) from error


def opaque(image: Image.Image, background: Colour | None) -> tuple[Image.Image, bool]:
    """Return an image of 8 bits in mode RGB, composited on a colour, and whether it is transparent anywhere.

    Values are composited in sRGB: alpha * colour + (1 - alpha) * background, as
    `PIL.Image.alpha_composite` does it. Premultiplied colours are divided by alpha first.

    Args:
        image (Image): Of any mode of 8 bits.
        background (tuple[int, int, int], optional): The colour; None drops the alpha channel.
    """
    layered = with_alpha(image)
    if layered is None:
        return image.convert('RGB'), False
    if background is None:
        return layered.convert('RGB'), True
    composited = Image.new('RGB', layered.size)
    height = max(1, STRIP_PIXELS // layered.width)
    for start in range(0, layered.height, height):
        strip = layered.crop((0, start, layered.width, min(start + height, layered.height)))
        behind = Image.new('RGBA', strip.size, (*background, 255))
        composited.paste(Image.alpha_composite(behind, strip).convert('RGB'), (0, start))
    return composited, True


def with_alpha(image: Image.Image) -> Image.Image | None:
    """Return an image of 8 bits in mode RGBA; None if it is entirely opaque."""
    if not {'A', 'a'} & set(image.getbands()) and 'transparency' not in image.info:
        return None
    if image.mode == 'La':
        image = image.convert('LA')
    if image.mode != 'RGBA':  # `convert` copies
        image = image.convert('RGBA')
    return None if image.getchannel('A').getextrema()[0] == 255 else image


def check_size(width: int, height: int, source: Any) -> None:
    """Raise an InputError if an image is too large to be decoded."""
    if width * height > MAX_PIXELS:
        raise InputError(
            f'{source} says that it has {width} x {height} pixels, more than {MAX_PIXELS}: remove it, or '
            'make it smaller.'
        )


def check_decodable(width: int, height: int, content: bytes, source: Any) -> None:
    """Raise an InputError if an image is too large to be decoded, or declares more than its file `content` permits."""
    check_size(width, height, source)
    reason = why_refused(content, width, height)
    if reason:
        raise InputError(
            f'{source} is not decoded: {reason}. Remove it, make it smaller, or save it as a plain PNG or JPEG.'
        )


def read_header(content: bytes) -> Header | None:
    """Return the header of a JPEG, PNG or WebP; None for other formats and files without a header."""
    if content.startswith(b'\xff\xd8\xff'):
        return read_jpeg_header(content)
    if content.startswith(PNG_SIGNATURE):
        width, height, depth, colour, _, _, _ = struct.unpack_from('>IIBBBBB', content, 16)
        grey_or_rgb = depth == 8 and colour in (0, 2)
        common = (
            grey_or_rgb and b'IEND' in content[-TAIL:] and is_plain_png(content) and not has_transparent_colour(content)
        )
        return Header(width, height, common)
    if content.startswith(b'RIFF') and content[8:15] == b'WEBPVP8':
        return read_webp_header(content)
    return None


def has_transparent_colour(content: bytes) -> bool:
    """Return whether a PNG has a tRNS chunk, which must precede its pixels."""
    kinds = (kind for kind, _, _ in png_chunks(content) if kind in (b'tRNS', b'IDAT', b'IEND'))
    return next(kinds, b'') == b'tRNS'


def read_jpeg_header(content: bytes) -> Header | None:
    """See `read_header`. The two libraries convert four channels (CMYK) to different colours."""
    for marker, start in jpeg_segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, channels = struct.unpack_from('>BHHB', content, start)
            whole = content.rfind(b'\xff\xd9', -TAIL) >= 0
            return Header(width, height, marker in START_OF_FRAME and depth == 8 and channels in (1, 3) and whole)
    return None


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker of a JPEG and the position of its segment, up to the compressed data."""
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


def read_webp_header(content: bytes) -> Header | None:
    """See `read_header`. Pillow decodes the extended format, which may be animated or transparent."""
    size, kind = struct.unpack_from('<I4x4s', content, 4)
    whole = len(content) >= size + 8
    if kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', content, 26))
        return Header(width, height, whole)
    if kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', content, 21)
        has_alpha = bits >> 28 & 1
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, whole and not has_alpha)
    if kind == b'VP8X':
        width, height = (int.from_bytes(content[start : start + 3], 'little') + 1 for start in (24, 27))
        return Header(width, height, False)
    return None
