"""Limits of encoded images, checked before a decoder runs. `docs/security.md` lists them.

Decoders allocate what a header declares and trust the lengths in it. These checks read the bytes first.
"""

import struct
from collections.abc import Iterator

from mmcm.utils.avif_limits import is_avif, why_avif_refused

try:
    from PIL.AvifImagePlugin import SUPPORTED as AVIF_IS_READ  # since Pillow 11.3, where it was built with libavif
except ImportError:
    AVIF_IS_READ = False

# The content decides the format; Pillow's other decoders are never called. Folders and archives are searched for these
# suffixes.
SUFFIXES_OF = {
    'PNG': ('.png', '.apng'),
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'WEBP': ('.webp',),
    'BMP': ('.bmp', '.dib'),
    'TIFF': ('.tif', '.tiff'),
    'GIF': ('.gif',),
    **({'AVIF': ('.avif',)} if AVIF_IS_READ else {}),
}
FORMATS = tuple(SUFFIXES_OF)
SUFFIXES = sum(SUFFIXES_OF.values(), ())
MAX_PIXELS = 2**26  # 67 million, 200 MB when decoded
# An image may have 4096 x 4096 pixels whatever the size of its file, and more only with half a bit for each, as every
# photograph has: the pixels of a drawing that compresses better cost memory that its file size does not suggest.
FREE_PIXELS = 2**24
PIXELS_PER_BYTE = 16
MAX_IMAGE_BYTES = 2**29  # MAX_PIXELS of 16-bit RGBA, uncompressed
SCANNED_PIXELS = 2**30  # of a JPEG, over all of its scans, each of which goes over all pixels; cameras write 1 or 10
MAX_SEGMENTS = 2**16  # chunks of a PNG, segments of a JPEG; the largest known images have some 30 000
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
# Chunks for which OpenCV allocates nothing or a palette. PNGs with others are left to Pillow, which limits compressed
# texts and profiles.
PLAIN_CHUNKS = frozenset(b'IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB bKGD pHYs sBIT tIME tEXt eXIf'.split())
TEXT_CHUNK_BYTES = 2**16


def why_refused(content: bytes, width: int, height: int) -> str | None:
    """Return why an encoded image must not be decoded, or None.

    Args:
        content (bytes): The file.
        width (int): Declared width in pixels.
        height (int): Declared height in pixels.
    """
    pixels = width * height
    avif = is_avif(content)
    # Pillow's WebP takes 16 bytes a pixel, its AVIF 10 to 16.
    free = FREE_PIXELS // 2 if content.startswith(b'RIFF') or avif else FREE_PIXELS
    most = max(free, PIXELS_PER_BYTE * len(content))
    if pixels > most:
        return f'it declares {width} x {height} pixels, and a file of {len(content)} bytes may have {most}'
    if avif:
        return why_avif_refused(content, most)
    if content.startswith(b'\xff\xd8'):
        scans = content.count(b'\xff\xda')  # compressed data have 0x00 behind each 0xFF
        if scans * pixels > SCANNED_PIXELS:
            return f'it has {scans} scans of {pixels} pixels, more than {SCANNED_PIXELS} pixels in all'
    return None


def is_plain_png(content: bytes) -> bool:
    """Return whether all chunks of a PNG lie within the file and may be given to OpenCV."""
    for number, (kind, length, whole) in enumerate(png_chunks(content)):
        if not whole or kind not in PLAIN_CHUNKS or number == MAX_SEGMENTS:
            return False
        if kind not in (b'IDAT', b'IEND') and length > TEXT_CHUNK_BYTES:
            return False
        if kind == b'IEND':
            return True
    return False


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """Yield the kind and the declared length of each chunk of a PNG, and whether it lies within the file."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        length, kind = struct.unpack_from('>I4s', content, position)
        position += 12 + length  # length, kind and checksum
        yield kind, length, position <= len(content)
