"""Packing: a data set becomes one npz file that can be mapped; see `mmcm.datasets.ImagePack`.

Worker processes read chunks of images; this process writes them in their order, so the bytes of the file do not depend
on the number of workers.
"""

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcm.apis.data.image_chunks import Chunk, Chunks, load_chunks
from mmcm.apis.data.pack_file import READ_AT_ONCE, PackFile
from mmcm.datasets.image_dataset import ImageDataset, classes_without_images
from mmcm.datasets.image_pack import read_images, read_labels, read_notes
from mmcm.datasets.transparency import transparency_in_words
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.corrupt_images import LEAVE_OUT, MOST_REASONS, ON_CORRUPT
from mmcm.utils.errors import InputError
from mmcm.utils.interrupts import Interrupted
from mmcm.utils.npz import open_npz
from mmcm.utils.progress import progress_bar
from mmcm.utils.provenance import versions
from mmcm.version import __version__

SAVE_INTERVAL = 1.0  # seconds between writes of the journal, which wait for the disk


@dataclass(frozen=True)
class Packing:
    """Result of packing.

    Attributes:
        num_images (int): Number of images in the pack.
        corrupt (list[str]): Place and reason of each image that could not be read.
        num_found (int): Number of images that an earlier run had packed.
        composited (str, optional): Number of transparent images and their background, in words; None if there are none.
        empty_classes (str, optional): The classes without images, in words; None if there are none.
    """

    num_images: int
    corrupt: list[str]
    num_found: int
    composited: str | None = None
    empty_classes: str | None = None


def pack(
    dataset: ImageDataset,
    out: str | Path,
    source: dict | None = None,
    workers: int = 1,
    corrupt: str = ON_CORRUPT[0],
    progress: bool = False,
) -> Packing:
    """Write the images of `dataset` and their labels to `out`, mirror images not included.

    A killed run resumes when it is started again, by any number of processes, and ends with the same bytes. The disk
    space is reserved before the first image is read.

    Args:
        dataset (ImageDataset): Images of one size, none of them changed at random.
        out (str | Path): The npz file; an existing one is replaced.
        source (dict, optional): The source that the pack records, in plain values.
        workers (int): Number of processes that read images; with 1, this one does.
        corrupt (str): What to do with an image that cannot be read: 'stop', which keeps the packed images, or 'skip'.
        progress (bool): Whether to show a bar on stderr.

    Raises:
        InputError: If images have different sizes or are corrupt (with 'stop'), or `out` cannot be written; then
            nothing of it is left.
    """
    check_count('workers', workers)
    check_choice('corrupt', corrupt, ON_CORRUPT)
    out = Path(out)
    num_images = dataset.num_images
    first, shape = _first_image(dataset, corrupt)
    chunks = Chunks(dataset, shape, first)
    request = dict(
        fingerprint=dataset.fingerprint,
        labels=None if dataset.labels is None else hashlib.sha256(dataset.labels[:num_images].data).hexdigest(),
        shape=shape,
        num_images=num_images,
        chunk_size=chunks.size,
        mmcm=__version__,
    )
    with PackFile(out, shape, num_images, request) as file:
        found = _Progress(file)
        num_found = file.num_rows
        if progress and found.chunks:
            print(f'{file.part} holds {num_found} images already', file=sys.stderr)
        with _kept(file, found), progress_bar('packing', len(chunks) - found.chunks, progress, 'blocks') as advance:
            for chunk in load_chunks(chunks, found.chunks, workers):
                if chunk.misfit:
                    file.discard()
                    raise InputError(chunk.misfit)
                if chunk.corrupt and corrupt == 'stop':
                    raise InputError(
                        f'{chunk.corrupt[0][1]} {file.num_rows} images are packed: {LEAVE_OUT}, and goes on from there.'
                    )
                found.add(chunk)
                advance()
        kept = np.setdiff1d(np.arange(num_images), [index for index, _ in found.corrupt])
        reasons = [reason for _, reason in found.corrupt]
        labels = None if dataset.labels is None else dataset.labels[kept]
        notes = dict(
            classes=list(dataset.metainfo['classes']),
            source=source,
            num_images=len(kept),
            num_corrupt=len(reasons),
            corrupt=reasons[:MOST_REASONS],
            versions=versions(),
        )
        file.finish(labels, json.loads(json.dumps(notes, default=str)))
    transparency = dataset.transparency
    composited = (
        None
        if transparency is None
        else transparency_in_words(found.num_transparent, len(kept), transparency.background)
    )
    empty = None if labels is None else classes_without_images(labels, dataset.metainfo['classes'])
    return Packing(len(kept), reasons, num_found, composited, empty)


class _Progress:
    """What has been packed, also by an earlier run, and its journal.

    Args:
        file (PackFile): The unfinished pack.

    Attributes:
        chunks (int): Number of packed chunks.
        corrupt (list[tuple[int, str]]): Index and reason of each image that was skipped.
        num_transparent (int): Number of transparent images.
    """

    def __init__(self, file: PackFile) -> None:
        self.file = file
        self.chunks = file.state.get('chunks', 0)
        self.corrupt = [tuple(entry) for entry in file.state.get('corrupt', ())]
        self.num_transparent = file.state.get('transparent', 0)
        self.saved = time.monotonic()

    def add(self, chunk: Chunk) -> None:
        """Append a chunk to the file; write the journal every `SAVE_INTERVAL` seconds."""
        self.file.append(chunk.rows.numpy())
        self.corrupt += chunk.corrupt
        self.num_transparent += chunk.num_transparent
        self.chunks += 1
        if time.monotonic() - self.saved >= SAVE_INTERVAL:
            self.save()

    def save(self) -> None:
        """Write the journal."""
        self.file.save(chunks=self.chunks, corrupt=in_short(self.corrupt), transparent=self.num_transparent)
        self.saved = time.monotonic()


@contextmanager
def _kept(file: PackFile, found: _Progress) -> Iterator[None]:
    """Keep the packed images when the block ends for any reason, and say so in errors."""
    try:
        yield
    except KeyboardInterrupt as error:
        message = (
            f'{file.num_rows} images are packed: the same command goes on from there.'
            if file.num_rows
            else 'No image had been packed yet.'
        )
        raise Interrupted(getattr(error, 'number', signal.SIGINT), message) from None
    except RuntimeError as error:
        if 'DataLoader worker' not in str(error):
            raise
        raise InputError(
            f'a process that reads images was killed, maybe for want of memory. {file.num_rows} images are packed: the '
            'same command goes on, maybe with fewer --workers.'
        ) from error
    finally:
        if not file.num_rows:
            file.discard()
        elif file.part.exists():
            found.save()


def verify(path: str | Path) -> dict[str, Any]:
    """Compare the images and labels of a pack with its digests, and return its notes.

    Raises:
        InputError: If they differ, or the file has no digests.
    """
    file = open_npz(path)
    notes = read_notes(file)
    expected = notes.get('sha256')
    if not isinstance(expected, dict):
        raise InputError(f'{path} has no digests to compare with: it was not written by mmcm pack.')
    images = read_images(file)
    sha = hashlib.sha256()
    step = max(1, READ_AT_ONCE // images[0].nbytes)
    for start in range(0, len(images), step):
        sha.update(np.ascontiguousarray(images[start : start + step]).data)
    found = dict(images=sha.hexdigest())
    if 'labels' in expected:
        labels = np.ascontiguousarray(read_labels(file, len(images)), '<i8')
        found['labels'] = hashlib.sha256(labels.data).hexdigest()
    wrong = [name for name in found if found[name] != expected.get(name)]
    if wrong:
        raise InputError(
            f'the {" and ".join(wrong)} in {path} are not those that were packed: the file is damaged. '
            'Copy or pack it again.'
        )
    return notes


def in_short(skipped: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return index and reason of skipped images, with `MOST_REASONS` reasons at most."""
    return [(index, reason if number < MOST_REASONS else '') for number, (index, reason) in enumerate(skipped)]


def _first_image(dataset: ImageDataset, corrupt: str) -> tuple[int, tuple[int, int, int]]:
    """Return the index and the shape (H, W, C) of the first readable image."""
    for index in range(dataset.num_images):
        try:
            channels, height, width = dataset[index]['inputs'].shape
        except InputError as error:
            if corrupt == 'stop':
                raise InputError(f'{error} {LEAVE_OUT}.') from error
        else:
            return index, (height, width, channels)
    raise InputError(f'none of the {dataset.num_images} images can be read.')


def check_nothing_random(transforms: Sequence[dict]) -> None:
    """Raise an InputError if one of `transforms` is random: a pack would hold a single outcome of it."""
    for transform in transforms:
        if str(transform['type']).split('.')[-1].startswith('Random'):
            raise InputError(
                f'{transform["type"]} in the pipeline is random, and a pack holds each image once: take '
                'CenterCropToSize in its place, or leave it to the training.'
            )
