"""Pixel count of an AVIF from its AV1 data, which the decoder trusts, not the size that the file declares.

The file (ISO/IEC 14496-12 and 23008-12) is a list of boxes; `meta` gives the places of the items, whose data are OBUs
of AV1 ("AV1 Bitstream & Decoding Process Specification", section 5). Only single images are accepted.
"""

import struct
from collections.abc import Iterator

from mmcm.utils.bounded import Unreadable

MOST_BOXES = 2**12  # boxes or items in one place; an image has ten
CODED = b'av01'
TEXTS = frozenset((b'Exif', b'mime'))  # items that are not decoded
SEQUENCE_HEADER = 1  # kind of an OBU
REFERENCES = 8  # frames that a decoder keeps of data that are no single image


def is_avif(content: bytes) -> bool:
    """Return whether a file begins like an AVIF."""
    return content[4:8] == b'ftyp' and content[8:12] in (b'avif', b'avis', b'mif1', b'msf1')


def coded_pixels(content: bytes) -> int:
    """Return how many pixels the decoder may allocate for an item of an AVIF.

    Raises:
        Unreadable: If it is animated, made of tiles, damaged, or has its size in an unsupported place.
    """
    try:
        boxes = unique(boxes_in(content, 0, len(content)), b'meta')
        if b'moov' in boxes:
            raise Unreadable('it is animated')
        start, end = boxes[b'meta'][0]
        parts = unique(boxes_in(content, start + 4, end), b'iloc', b'iinf')
        kinds = item_kinds(content, *parts[b'iinf'][0])
        if not TEXTS | {CODED} >= set(kinds.values()):
            raise Unreadable('it is composed of several images')
        within = parts.get(b'idat', [(0, 0)])[0]
        pixels, read = 0, 0
        for item, data in items(content, *parts[b'iloc'][0], within):
            read += len(data)
            if read > len(content):
                raise Unreadable('its items overlap')
            if kinds.get(item) not in TEXTS:
                pixels = max([pixels, *map(pixels_of, sequence_headers(data))])
        return pixels
    except (struct.error, IndexError, KeyError) as error:
        raise Unreadable(f'its boxes are damaged ({error!r})') from error


def boxes_in(content: bytes, start: int, end: int) -> dict[bytes, list[tuple[int, int]]]:
    """Return the places (start, end) of the contents of boxes, by their kinds."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for _ in range(MOST_BOXES):
        if start >= end:
            return found
        size, kind = struct.unpack_from('>I4s', content, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from('>Q', content, start + 8)
            head = 16
        size = size or end - start
        if size < head or start + size > end:
            raise Unreadable('a box goes beyond its end')
        found.setdefault(kind, []).append((start + head, start + size))
        start += size
    raise Unreadable(f'it has more than {MOST_BOXES} boxes')


def unique(boxes: dict[bytes, list[tuple[int, int]]], *kinds: bytes) -> dict[bytes, list[tuple[int, int]]]:
    """Return `boxes`; raise Unreadable unless each of `kinds` is present once, and `idat` at most once."""
    if any(len(boxes.get(kind, ())) != 1 for kind in kinds) or len(boxes.get(b'idat', ())) > 1:
        raise Unreadable('a box is missing, or there twice')
    return boxes


def item_kinds(content: bytes, start: int, end: int) -> dict[int, bytes]:
    """Return the kinds of the items that the box `iinf` lists."""
    kinds = {}
    for place, _ in boxes_in(content, start + (6 if content[start] == 0 else 8), end).get(b'infe', ()):
        if content[place] not in (2, 3):
            raise Unreadable('its items have no kinds')
        item, _, kind = struct.unpack_from('>HH4s' if content[place] == 2 else '>IH4s', content, place + 4)
        if item in kinds:
            raise Unreadable('an item is listed twice')
        kinds[item] = kind
    return kinds


def items(content: bytes, start: int, end: int, within: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the data of each item that the box `iloc` locates.

    Args:
        content (bytes): The file.
        start (int): Start of the content of the box.
        end (int): End of the content of the box.
        within (tuple[int, int]): Start and end of the content of `idat`.
    """
    version, sizes, more = content[start], content[start + 4], content[start + 5]
    place = start + 6

    def number(size: int) -> int:
        nonlocal place
        if size not in (0, 2, 4, 8) or place + size > end:
            raise Unreadable('its places of items are damaged')
        place += size
        return int.from_bytes(content[place - size : place], 'big')

    wide = 2 if version < 2 else 4
    count = number(wide)
    if version > 2 or count > MOST_BOXES:
        raise Unreadable(f'it has {count} items')
    for _ in range(count):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(more >> 4)
        extents = []
        for _ in range(number(2)):
            if version:
                number(more & 15)
            offset, length = base + number(sizes >> 4), number(sizes & 15)
            first, last = {0: (0, len(content)), 1: within}[method]
            if not length or first + offset + length > last:
                raise Unreadable('an item goes beyond its end')
            extents.append(content[first + offset : first + offset + length])
        yield item, b''.join(extents)


def sequence_headers(data: bytes) -> Iterator[bytes]:
    """Yield the sequence headers among the OBUs of an item."""
    place = 0
    while place < len(data):
        head = data[place]
        place += 2 if head & 4 else 1  # with an extension
        size = len(data) - place
        if head & 2:
            size, place = leb128(data, place)
        if place + size > len(data):
            raise Unreadable('its AV1 data are not whole')
        if head >> 3 & 15 == SEQUENCE_HEADER:
            yield data[place : place + size]
        place += size


def leb128(data: bytes, place: int) -> tuple[int, int]:
    """Return the number at `place`, with seven bits per byte, and the place after it."""
    value = 0
    for index in range(8):
        value |= (data[place + index] & 127) << 7 * index
        if not data[place + index] & 128:
            return value, place + index + 1
    raise Unreadable('its AV1 data are damaged')


def pixels_of(header: bytes) -> int:
    """Return the largest number of pixels of the frames that a decoder keeps for a sequence header."""
    bits, place = int.from_bytes(header[:64].ljust(64, b'\0'), 'big'), 0

    def number(width: int) -> int:
        nonlocal place
        place += width
        return bits >> 512 - place & (1 << width) - 1

    number(4)  # profile, still picture
    single = number(1)
    if single:
        number(5)
    else:
        if number(1):
            raise Unreadable('its AV1 data have times')
        delayed = number(1)
        for _ in range(number(5) + 1):
            number(12)
            if number(5) > 7:
                number(1)
            if delayed and number(1):
                number(4)
    across, down = number(4) + 1, number(4) + 1
    if single:
        return (number(across) + 1) * (number(down) + 1)
    return REFERENCES << across + down  # each frame may have its own size of so many bits


def why_avif_refused(content: bytes, most: int) -> str | None:
    """Return why an AVIF must not be decoded if it may have `most` pixels; None if it may be."""
    try:
        pixels = coded_pixels(content)
    except Unreadable as error:
        return f'it is an AVIF, and {error}'
    if pixels > most:
        return f'its AV1 data ask for up to {pixels} pixels, and a file of {len(content)} bytes may have {most}'
    return None
