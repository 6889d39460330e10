"""Names of files in data sets: encodings of any platform and archiver, hidden files, suffixes of images."""

import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from mmcm.utils.bounded import EXTRA_FIELD, UNICODE_PATH, UTF8_NAME, Unreadable
from mmcm.utils.errors import cut, first_of, printable
from mmcm.utils.image_limits import SUFFIXES

LABELS_FILE = 'dataset.json'
# Files that systems and programs put beside images. Names that begin with a dot are ignored, too.
LITTER = frozenset(
    (
        '__macosx, icon\r, thumbs.db, ehthumbs.db, desktop.ini, $recycle.bin, system volume information, @eadir, '
        '#recycle, lost+found, __pycache__'
    ).split(', ')
)
OWN_FILES = frozenset((LABELS_FILE, 'origin.json'))  # of mmcm itself
# Suffixes of images in unsupported formats: a class may consist of them alone.
OTHER_IMAGES = tuple(
    suffix
    for suffix in (
        '.arw .avif .cr2 .cr3 .dng .exr .hdr .heic .heif .ico .j2k .jp2 .jpx .jxl .nef .orf .pbm .pcx .pfm .pgm .pnm '
        '.ppm .psd .qoi .raf .rw2 .sgi .svg .tga'
    ).split()
    if suffix not in SUFFIXES
)
LONGEST = 200  # characters of a name in a message
MOST_LISTED = 8  # kinds of files, or names of classes, in a message
SPLITS = frozenset(('train', 'training', 'val', 'valid', 'validation', 'test', 'testing', 'dev'))


def is_image(name: str) -> bool:
    """Return whether a file has a suffix of a supported image format."""
    return name.lower().endswith(SUFFIXES)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder with this name, without its parents, is ignored."""
    return name.startswith('.') or name.lower() in LITTER


def composed(name: str) -> str:
    """Return `name` in Unicode's composed form (NFC): macOS decomposes accented letters, other systems do not."""
    return name if name.isascii() else unicodedata.normalize('NFC', name)


def plain_path(name: str) -> str:
    r"""Normalise `name`, of an archive or a list, to a path with '/', composed, without '.' and empty parts.

    Windows PowerShell 5 writes 'a\b.png', bsdtar './a/b.png'.

    Raises:
        Unreadable: If it leads out of the archive.
    """
    parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.')]
    if '..' in parts:
        raise Unreadable(f'{name!r} leads out of it')
    return composed('/'.join(parts))


def entry_name(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry of a zip file, independently of the version of Python.

    It is UTF-8 if its flag says so, if a second name in an extra field belongs to it (Info-ZIP), or if it decodes as
    UTF-8: the Finder writes it without the flag. Otherwise it is in code page 437.
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
    """Return the Unicode path for the name `raw` in the extra fields of an entry, or None."""
    while len(extra) >= EXTRA_FIELD.size:
        kind, length = EXTRA_FIELD.unpack_from(extra)
        data, extra = extra[EXTRA_FIELD.size : EXTRA_FIELD.size + length], extra[EXTRA_FIELD.size + length :]
        if kind == UNICODE_PATH and len(data) > 5 and int.from_bytes(data[1:5], 'little') == zlib.crc32(raw):
            return data[5:]
    return None


def listed(names: Iterable[str]) -> str:
    """Return the first of `names`, separated by commas."""
    return first_of(map(shown, names), MOST_LISTED)


def shown(name: str) -> str:
    """Return the name of a file or class in a form for messages, shortened if it is long."""
    return cut(printable(name), LONGEST)


def odd_classes(classes: Iterable[str]) -> list[str]:
    """Return warnings about the sorted names of classes."""
    classes, found = list(classes), []
    if len(classes) > 1 and SPLITS.issuperset(name.lower() for name in classes):
        found.append(f'the classes are {listed(classes)}, which look like parts of a data set: name one of them')
    numbers = [(number, name) for number, name in enumerate(classes) if name.isdecimal() and int(name) != number]
    if numbers and all(name.isdecimal() for name in classes):
        number, name = numbers[0]
        found.append(f'the names of classes are sorted as text ({listed(classes)}), so that {name} is class {number}')
    folded: dict[str, list[str]] = {}
    for name in classes:
        folded.setdefault(name.casefold(), []).append(name)
    found += [
        f'the classes {listed(names)} differ in upper and lower case alone'
        for names in folded.values()
        if len(names) > 1
    ][:1]
    return found


class LeftOut:
    """Counter of the files that are no images in a supported format, except `OWN_FILES`."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.first = ''
        self.images: list[str] = []  # names of images in other formats

    def add(self, name: str) -> None:
        """Count a file."""
        last = name.rpartition('/')[2]
        if last in OWN_FILES:
            return
        suffix = PurePosixPath(last).suffix.lower()
        if suffix in OTHER_IMAGES:
            self.images.append(name)
        self.first = self.first or name
        self.kinds[suffix or 'no suffix'] += 1

    def described(self) -> str | None:
        """Describe the number and kinds of the files; return None if there are none."""
        number = sum(self.kinds.values())
        if not number:
            return None
        kinds = listed(f'{kind} {count}' for kind, count in self.kinds.most_common())
        advice = '; images have to be converted, to PNG for example' if self.images else ''
        return (
            f'left out {number} file{"s" * (number > 1)} that {"are" if number > 1 else "is"} no image of a format '
            f'that is read ({kinds}), {shown(self.images[0] if self.images else self.first)} first{advice}'
        )
