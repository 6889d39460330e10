"""What a source of images holds: number, sizes, channels, transparency, classes, duplicates and broken files.

The reading is bounded: of many images, a random sample is decoded, and the result says how many that were.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.image_files import ImageFiles
from mmcm.datasets.transforms.eight_bits import SIXTEEN_BITS
from mmcm.datasets.transforms.load_image import check_background, decode_on
from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError, printable
from mmcm.utils.image_limits import FORMATS, MAX_IMAGE_BYTES
from mmcm.utils.progress import progress_bar

# Bounds of the images that are decoded, all together.
MOST_IMAGES = 4000
MOST_PIXELS = 2**30
MOST_BYTES = 2**31  # of their files
MOST_NAMED = 20  # duplicates and broken files that are named


@dataclass
class Findings:
    """What `inspect_images` found.

    Attributes:
        num_images (int): Number of images, broken ones included.
        num_read (int): Number of images that were decoded, or were found to be broken.
        heights, widths (list[int]): Sizes of the images that were decoded, in pixels.
        num_grey (int): Number of those without colours.
        num_deep (int): Number of grey images of more than 8 bits.
        num_transparent (int): Number of images with transparent pixels.
        broken (list[str]): A message for each broken image.
        duplicates (list[tuple[str, str]]): Pairs of a file and an earlier one with the same bytes.
        classes (tuple[str, ...]): Names of the classes, empty without classes.
        fewest (int): Number of images of the smallest class; 0 without classes.
    """

    num_images: int
    num_read: int = 0
    heights: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    num_grey: int = 0
    num_deep: int = 0
    num_transparent: int = 0
    broken: list[str] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    fewest: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all images were decoded."""
        return self.num_read == self.num_images

    @property
    def channels(self) -> int:
        """1 if no decoded image has colours, else 3."""
        return 1 if self.heights and self.num_grey == len(self.heights) else 3

    @property
    def shorter_side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(np.median(np.minimum(self.heights, self.widths)))


class Decoded(NamedTuple):
    """An image as it was found."""

    height: int
    width: int
    grey: bool
    deep: bool
    transparent: bool
    digest: bytes
    num_bytes: int


def inspect_images(dataset: ImageDataset, background: str, progress: bool = False) -> Findings:
    """Look at the images of a data set.

    Args:
        dataset (ImageDataset): The images.
        background (str): Colour behind transparent images; see ImageFiles.
        progress (bool): Whether to show a bar on stderr.

    Raises:
        InputError: If none of the images can be read.
    """
    findings = Findings(dataset.num_images)
    if dataset.labels is not None:
        counts = np.bincount(dataset.labels[: dataset.num_images], minlength=dataset.num_classes or 0)
        findings.classes, findings.fewest = tuple(dataset.metainfo['classes']), int(counts.min())
    first_of: dict[bytes, str] = {}
    num_pixels = num_bytes = 0
    positions = sample_of(dataset.num_images)
    with progress_bar('looking at images', len(positions), progress, 'images') as advance:
        for position in positions:
            if num_pixels > MOST_PIXELS or num_bytes > MOST_BYTES:
                break
            findings.num_read += 1
            advance()
            try:
                image = decoded(dataset, position, background)
            except InputError as error:
                findings.broken.append(str(error))
                continue
            num_pixels += image.height * image.width
            num_bytes += image.num_bytes
            findings.heights.append(image.height)
            findings.widths.append(image.width)
            findings.num_grey += image.grey
            findings.num_deep += image.deep
            findings.num_transparent += image.transparent
            name = dataset.source_of(position)
            first = first_of.setdefault(image.digest, name)
            if first != name:
                findings.duplicates.append((name, first))
    if not findings.heights:
        raise InputError(f'none of {findings.num_read} images can be read; the first: {findings.broken[0]}')
    return findings


def sample_of(num_images: int) -> list[int]:
    """Return the positions to look at: all in order, or of more than `MOST_IMAGES` a random sample of that size."""
    if num_images <= MOST_IMAGES:
        return list(range(num_images))
    return np.random.default_rng(0).choice(num_images, MOST_IMAGES, replace=False).tolist()


def decoded(dataset: ImageDataset, position: int, background: str) -> Decoded:
    """Decode an image; raise an InputError if it is broken."""
    if not isinstance(dataset, ImageFiles):
        pixels = dataset.read(position)['inputs'].numpy()
        _, height, width = pixels.shape
        digest = hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
        return Decoded(height, width, bool((pixels == pixels[:1]).all()), False, False, digest, pixels.nbytes)
    sample = dataset.files.sample(position)
    source, content = sample['img_path'], sample.get('img_bytes')
    if content is None:
        try:
            content = read_file(source, MAX_IMAGE_BYTES)
        except OSError as error:
            raise InputError(f'{source} cannot be read: {error.strerror}.') from error
        except Unreadable as error:
            raise InputError(f'{source} is too large, {error}.') from error
    pixels, transparent = decode_on(content, dataset.source_of(position), check_background(background))
    grey = bool((pixels == pixels[..., :1]).all())
    digest = hashlib.sha256(content).digest()
    height, width, _ = pixels.shape
    return Decoded(height, width, grey, is_deep(content), transparent, digest, len(content))


def is_deep(content: bytes) -> bool:
    """Return whether an image that can be decoded has more than 8 bits of grey, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about harmless oddities of the file
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.mode in SIXTEEN_BITS


def rows_of(findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield the rows of the table of what was found: a name and its value."""
    read = '' if findings.is_complete else f', of which {findings.num_read} were looked at'
    yield 'images', f'{findings.num_images}{read}'
    yield 'size', sizes_in_words(findings)
    colours = 'grey' if findings.channels == 1 else 'colours'
    if 0 < findings.num_grey < len(findings.heights):
        colours += f', {findings.num_grey} of {len(findings.heights)} grey'
    if findings.num_deep:
        colours += f', {findings.num_deep} with 16 bits, of which the upper eight are used'
    yield 'channels', colours
    if findings.num_transparent:
        yield 'transparency', f'{findings.num_transparent} of {len(findings.heights)} images'
    if findings.classes:
        yield 'classes', f'{len(findings.classes)}, with {findings.fewest} images or more'
    if findings.duplicates:
        yield 'duplicates', f'{len(findings.duplicates)} of the files, with the bytes of another one'
    if findings.broken:
        yield 'broken', f'{len(findings.broken)} of the files'


def sizes_in_words(findings: Findings) -> str:
    """Return the range of the sizes, as width x height like image programs show it."""
    shapes = sorted(zip(findings.widths, findings.heights), key=lambda shape: shape[0] * shape[1])
    smallest, largest = shapes[0], shapes[-1]
    if smallest == largest:
        return f'{smallest[0]} x {smallest[1]} pixels (width x height)'
    return f'{smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} pixels (width x height)'


def named(findings: Findings) -> Iterator[str]:
    """Yield a line for each duplicate and broken file, `MOST_NAMED` of each kind at most."""
    for text, lines in (
        ('duplicate', [f'{name} has the bytes of {first}' for name, first in findings.duplicates]),
        ('broken', findings.broken),
    ):
        for line in lines[:MOST_NAMED]:
            yield f'{text}: {printable(line)}'
        if len(lines) > MOST_NAMED:
            yield f'{text}: ... and {len(lines) - MOST_NAMED} more'
