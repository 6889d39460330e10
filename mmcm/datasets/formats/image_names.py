"""What the files of a data set are called, on any platform and in archives by any program; which of them are images."""

import os
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable

from mmcm.utils.bounded import EXTRA_FIELD, UNICODE_PATH, UTF8_NAME, Unreadable
from mmcm.utils.errors import first_of, printable
from mmcm.utils.image_limits import SUFFIXES

LABELS_FILE = 'dataset.json'
# What systems and programs put beside images. Names that begin with a dot do not count either.
LITTER = frozenset(
    (
        '__macosx',
        'icon\r',
        'thumbs.db',
        'ehthumbs.db',
        'desktop.ini',
        '$recycle.bin',
        'system volume information',
        '@eadir',
        '#recycle',
        'lost+found',
        '__pycache__',
    )
)
OWN_FILES = frozenset((LABELS_FILE, 'origin.json'))  # that mmcm reads or writes beside images
# Images of other formats than those that are read: a class may consist of them alone.
OTHER_IMAGES = tuple(
    suffix
    for suffix in (
        '.arw',
        '.avif',
        '.cr2',
        '.cr3',
        '.dng',
        '.exr',
        '.hdr',
        '.heic',
        '.heif',
        '.ico',
        '.j2k',
        '.jp2',
        '.jpx',
        '.jxl',
        '.nef',
        '.orf',
        '.pbm',
        '.pcx',
        '.pfm',
        '.pgm',
        '.pnm',
        '.ppm',
        '.psd',
        '.qoi',
        '.raf',
        '.rw2',
        '.sgi',
        '.svg',
        '.tga',
    )
    if suffix not in SUFFIXES
)
LONGEST = 200  # characters of a name in a line
MOST_LISTED = 8  # kinds of files, or names of classes, in a line
SPLITS = frozenset(('train', 'training', 'val', 'valid', 'validation', 'test', 'testing', 'dev'))


def is_image(name: str) -> bool:
    """Return whether a file has a suffix of images that are read."""
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a file or a folder of this name, without those above it, does not count."""
    return name.startswith('.') or name.lower() in LITTER


def composed(name: str) -> str:
    """Return `name` in Unicode's composed form (NFC): macOS takes letters and their accents apart, others do not."""
    return name if name.isascii() else unicodedata.normalize('NFC', name)


def plain_path(name: str) -> str:
    """Return the path that `name`, of an archive or a list, means: with '/', composed, without '.' and empty parts.

    Windows PowerShell 5 writes 'a\\b.png', bsdtar './a/b.png'.

    Raises:
        Unreadable: If it leads out of the archive.
    """
    parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.')]
    if '..' in parts:
        raise Unreadable(f'{name!r} leads out of it')
    return composed('/'.join(parts))


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry of a zip file, whatever Python's version makes of it.

    It is UTF-8 where its flag says so, in a second name that belongs to the first (Info-ZIP), and where it can be: the
    Finder writes UTF-8 without the flag. Else it is of code page 437.
    """
    name = entry.orig_filename.partition('\0')[0]
    if name.isascii() or entry.flag_bits & UTF8_NAME:
        return name
    raw = name.encode('cp437', 'replace')
    second = unicode_path(entry.extra, raw)
    try:
        return (raw if second is None else second).decode()
    except UnicodeDecodeError:
        return name


def unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Return the Unicode path in the extra fields of an entry; None if there is none for the name `raw`."""
    while len(extra) >= EXTRA_FIELD.size:
        kind, length = EXTRA_FIELD.unpack_from(extra)
        data, extra = extra[EXTRA_FIELD.size : EXTRA_FIELD.size + length], extra[EXTRA_FIELD.size + length :]
        if kind == UNICODE_PATH and len(data) > 5 and int.from_bytes(data[1:5], 'little') == zlib.crc32(raw):
            return data[5:]
    return None


def listed(names: Iterable[str]) -> str:
    """Return the first of `names` as a list."""
    return first_of(map(shown, names), MOST_LISTED)


def shown(name: str) -> str:
    """Return a name of a file or a class as a line may have it."""
    text = printable(name)
    return text if len(text) <= LONGEST else f'{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}'


def odd_classes(classes: Iterable[str]) -> list[str]:
    """Return what may surprise in the sorted names of classes, in words."""
    classes, found = list(classes), []
    if len(classes) > 1 and SPLITS.issuperset(name.lower() for name in classes):
        found.append(f'the classes are {listed(classes)}, which look like parts of a data set: name one of them')
    numbers = [(number, name) for number, name in enumerate(classes) if name.isdecimal() and int(name) != number]
    if numbers and all(name.isdecimal() for name in classes):
        number, name = numbers[0]
        found.append(f'the names of classes are sorted as text ({listed(classes)}), so that {name} is class {number}')
    folded = {}
    for name in classes:
        folded.setdefault(name.casefold(), []).append(name)
    found += [
        f'the classes {listed(names)} differ in upper and lower case alone'
        for names in folded.values()
        if len(names) > 1
    ][:1]
    return found


class LeftOut:
    """The files that are no images of a format that is read, counted; `OWN_FILES` are not."""

    def __init__(self) -> None:
        self.kinds = Counter()
        self.first: str | None = None
        self.images: list[str] = []  # names of those that are of another format

    def add(self, name: str) -> None:
        """Count a file."""
        last = name.rpartition('/')[2]
        if last in OWN_FILES:
            return
        suffix = os.path.splitext(last)[1].lower()
        if suffix in OTHER_IMAGES:
            self.images.append(name)
        self.first = self.first or name
        self.kinds[suffix or 'no suffix'] += 1

    def described(self) -> str | None:
        """Return how many files of which kinds are left out, in words; None if there are none."""
        number = sum(self.kinds.values())
        if not number:
            return None
        kinds = listed(f'{kind} {count}' for kind, count in self.kinds.most_common())
        advice = '; images have to be converted, to PNG for example' if self.images else ''
        return (
            f'left out {number} file{"s" * (number > 1)} that {"are" if number > 1 else "is"} no image of a format '
            f'that is read ({kinds}), {shown(self.images[0] if self.images else self.first)} first{advice}'
        )
