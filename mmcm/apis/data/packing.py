"""Packing: a data set becomes one npz file that can be mapped; see `mmcm.datasets.ImagePack`.

Worker processes read chunks of images; this process writes them in their order, so the bytes of the file do not depend
on the number of workers.
"""

import hashlib
import json
import math
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mmcm.apis.data.pack_file import READ_AT_ONCE, PackFile
from mmcm.datasets.image_arrays import ImageArrays
from mmcm.datasets.image_dataset import ImageDataset, classes_without_images
from mmcm.datasets.image_pack import read_images, read_labels, read_notes
from mmcm.datasets.transparency import transparency_in_words
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.corrupt_images import LEAVE_OUT, MOST_REASONS, ON_CORRUPT
from mmcm.utils.errors import InputError
from mmcm.utils.interrupts import Interrupted
from mmcm.utils.npz import open_npz
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

CHUNK_BYTES = 2**22  # a chunk has about so many,
CHUNK_IMAGES = 256  # but no more images than that
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
    chunks = _Chunks(dataset, shape, first)
    request = dict(
        fingerprint=dataset.fingerprint,
        labels=None if dataset.labels is None else hashlib.sha256(dataset.labels[:num_images].data).hexdigest(),
        shape=shape,
        num_images=num_images,
        chunk_size=chunks.size,
        mmcm=__version__,
    )
    with PackFile(out, shape, num_images, request) as file:
        done = file.state.get('chunks', 0)
        skipped = [tuple(entry) for entry in file.state.get('corrupt', ())]
        num_found = file.num_rows
        num_transparent = file.state.get('transparent', 0)
        if progress and done:
            print(f'{file.part} holds {num_found} images already', file=sys.stderr)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'This DataLoader will create')  # more processes than cores
            loader = iter(
                DataLoader(
                    chunks,
                    batch_size=None,
                    sampler=range(done, len(chunks)),
                    num_workers=workers if workers > 1 else 0,
                    collate_fn=_unchanged,
                    worker_init_fn=_one_core,
                )
            )
        try:
            with progress_bar('packing', len(chunks) - done, progress, 'blocks') as advance:
                saved = time.monotonic()
                for chunk in loader:
                    if chunk.misfit:
                        file.discard()
                        raise InputError(chunk.misfit)
                    if chunk.corrupt and corrupt == 'stop':
                        raise InputError(
                            f'{chunk.corrupt[0][1]} {file.num_rows} images are packed: '
                            f'{LEAVE_OUT}, and goes on from there.'
                        )
                    file.append(chunk.rows.numpy())
                    skipped += chunk.corrupt
                    num_transparent += chunk.num_transparent
                    done += 1
                    if time.monotonic() - saved >= SAVE_INTERVAL:
                        file.save(chunks=done, corrupt=in_short(skipped), transparent=num_transparent)
                        saved = time.monotonic()
                    advance()
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
                f'a process that reads images was killed, maybe for want of memory. {file.num_rows} '
                'images are packed: the same command goes on, maybe with fewer --workers.'
            ) from error
        finally:
            if not file.num_rows:
                file.discard()
            elif file.part.exists():
                file.save(chunks=done, corrupt=in_short(skipped), transparent=num_transparent)
        kept = np.setdiff1d(np.arange(num_images), [index for index, _ in skipped])
        reasons = [reason for _, reason in skipped]
        labels = None if dataset.labels is None else dataset.labels[kept]
        notes = dict(
            classes=list(dataset.metainfo['classes']),
            source=source,
            num_images=len(kept),
            num_corrupt=len(reasons),
            corrupt=reasons[:MOST_REASONS],
        )
        file.finish(labels, json.loads(json.dumps(notes, default=str)))
    transparency = dataset.transparency
    composited = (
        None if transparency is None else transparency_in_words(num_transparent, len(kept), transparency.background)
    )
    empty = None if labels is None else classes_without_images(labels, dataset.metainfo['classes'])
    return Packing(len(kept), reasons, num_found, composited, empty)


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


@dataclass
class _Chunk:
    """Images, uint8 (B, H, W, C), with index and reason of corrupt ones, or a message about an image that misfits."""

    rows: torch.Tensor
    corrupt: list[tuple[int, str]]
    misfit: str | None = None
    num_transparent: int = 0


class _Chunks(Dataset):
    """The images of a data set in chunks.

    Args:
        dataset (ImageDataset): The data set.
        shape (tuple[int, int, int]): Required (H, W, C) of all images.
        first (int): Index of an image of this shape.
    """

    def __init__(self, dataset: ImageDataset, shape: tuple[int, int, int], first: int) -> None:
        self.dataset = dataset
        self.shape = shape
        self.first = first
        self.size = min(CHUNK_IMAGES, max(1, CHUNK_BYTES // math.prod(shape)))

    def __len__(self) -> int:
        return math.ceil(self.dataset.num_images / self.size)

    def __getitem__(self, index: int) -> _Chunk:
        indices = range(index * self.size, min((index + 1) * self.size, self.dataset.num_images))
        if isinstance(self.dataset, ImageArrays) and self.dataset.pipeline is None:
            return _Chunk(self.dataset.gathered(np.asarray(indices)).permute(0, 2, 3, 1).contiguous(), [])
        nothing = torch.empty(0, *self.shape, dtype=torch.uint8, device='cpu')
        rows, corrupt, num_transparent = [], [], 0
        transparency = self.dataset.transparency
        for position in indices:
            try:
                image = self.dataset[position]['inputs'].permute(1, 2, 0)
            except InputError as error:
                corrupt.append((position, str(error)))
                continue
            if tuple(image.shape) != self.shape:
                sizes = [
                    f'{self.dataset.source_of(place)} has {width} x {height} pixels in {channels} channels'
                    for place, (height, width, channels) in ((self.first, self.shape), (position, image.shape))
                ]
                return _Chunk(
                    nothing,
                    [],
                    f'{sizes[0]}, but {sizes[1]}: the images of a pack have one size. Cut them to one by --size.',
                )
            rows.append(image)
            num_transparent += transparency is not None and transparency.is_transparent(position)
        return _Chunk(torch.stack(rows) if rows else nothing, corrupt, num_transparent=num_transparent)


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


def _unchanged(chunk: Any) -> Any:
    return chunk


def _one_core(_: int) -> None:
    """Leave the other cores to the other processes."""
    cv2.setNumThreads(0)


def check_nothing_random(transforms: Sequence[dict]) -> None:
    """Raise an InputError if one of `transforms` is random: a pack would hold a single outcome of it."""
    for transform in transforms:
        if str(transform['type']).split('.')[-1].startswith('Random'):
            raise InputError(
                f'{transform["type"]} in the pipeline is random, and a pack holds each image once: take '
                'CenterCropToSize in its place, or leave it to the training.'
            )
