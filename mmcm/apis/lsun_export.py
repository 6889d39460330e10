"""LSUN's database as files, cropped and scaled as the data of the released models were (Dhariwal & Nichol, 2021)."""
import json
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Optional

import cv2

from mmcm.datasets.lsun import LSUN
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.progress import progress_bar

FORMATS = dict(  # suffix, and what OpenCV is told beside
    png=('.png', lambda quality: [cv2.IMWRITE_PNG_COMPRESSION, 6]),
    jpeg=('.jpg', lambda quality: [cv2.IMWRITE_JPEG_QUALITY, quality]),
    webp=('.webp', lambda quality: [cv2.IMWRITE_WEBP_QUALITY, quality]))
ORIGINAL = 'original'  # the bytes of the database, which are WebP
SETTINGS_FILE = 'export.json'
CORRUPT_FILE = 'corrupt.txt'
PER_FOLDER = 1000  # images in a folder, which a process writes at a time
MODES = ('skip', 'stop')  # what is done about an image that cannot be decoded


class Export(NamedTuple):
    """What there is when an export has ended."""

    num_written: int  # now
    num_found: int  # of an earlier run
    corrupt: list[str]  # where they come from and why, a line each


class Settings(NamedTuple):
    """What each image becomes; see `export_lsun`."""

    format: str
    size: Optional[int]
    quality: Optional[int]


def export_lsun(data_root: str,
                out: Path,
                file_format: str = 'png',
                size: Optional[int] = 256,
                quality: int = 95,
                max_images: Optional[int] = None,
                corrupt: str = 'skip',
                workers: int = 1,
                progress: bool = False) -> Export:
    """Write the images of a database to `out`/00000/00000000.png and so on, in its order.

    An export that was stopped goes on where it is called again. Each file is whole or not there.

    Args:
        data_root (str): See LSUN.
        out (Path): The folder for the images, for `corrupt.txt`, which lists those that could not be decoded, and for
            `export.json`, which says what has been made here.
        file_format (str): 'png', 'jpeg', 'webp' or 'original': the bytes as they are in the database.
        size (int, optional): Height and width of the images in pixels; not cropped nor scaled if None.
        quality (int): Of 'jpeg' and 'webp', 1 to 100.
        max_images (int, optional): How many at most, the first ones.
        corrupt (str): What is done about an image that cannot be decoded: 'skip' or 'stop'.
        workers (int): Number of processes.
        progress (bool): Whether to show a bar.

    Raises:
        InputError: If the database or the folder cannot be used, or holds an export with other settings.
    """
    check_count('workers', workers)
    check_count('quality', quality)
    for name, value in (('max_images', max_images), ('size', size)):
        if value is not None:
            check_count(name, value)
    if file_format not in (*FORMATS, ORIGINAL) or corrupt not in MODES or quality > 100:
        raise InputError(f'the format has to be one of {", ".join((*FORMATS, ORIGINAL))}, corrupt one of '
                         f'{", ".join(MODES)}, quality 1 to 100, got {file_format!r}, {corrupt!r} and {quality}.')
    crop = [dict(type='CenterCropToSquare', size=size)] if size else []
    dataset = LSUN(data_root, [dict(type='LoadImage'), *crop])
    settings = Settings(file_format, None if file_format == ORIGINAL else size,
                        quality if file_format in ('jpeg', 'webp') else None)
    remember(out, {**settings._asdict(), 'source': dataset.fingerprint})
    total = min(len(dataset), max_images or len(dataset))
    blocks = [range(start, min(start + PER_FOLDER, total)) for start in range(0, total, PER_FOLDER)]
    work = partial(write_block, dataset, out, settings, corrupt == 'stop')
    written, found, bad = 0, 0, []
    with progress_bar('Exporting', math.ceil(total / PER_FOLDER), progress) as move_on:
        for block in results(work, blocks, min(workers, len(blocks))):
            written, found, bad = written + block.num_written, found + block.num_found, bad + block.corrupt
            move_on()
    write_bytes(out / CORRUPT_FILE, ''.join(f'{line}\n' for line in bad).encode())
    return Export(written, found, bad)


def results(work: Any, blocks: list[range], workers: int) -> Iterator[Export]:
    """Yield what `work` returns for each of `blocks`, in order, by several processes."""
    if workers == 1:
        yield from map(work, blocks)
        return
    # Spawned, not forked: this process may have threads, of torch or OpenCV.
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        try:
            yield from pool.map(work, blocks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def remember(out: Path, settings: dict) -> None:
    """Write down what is made in `out`; an InputError if it is something else already."""
    make_folder(out)
    path = out / SETTINGS_FILE
    if path.exists():
        try:
            known = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f'{path} cannot be read: choose another folder, or empty this one.') from error
        if known != settings:
            raise InputError(f'{out} holds an export of another database, or with other settings ({path}): choose '
                             'another folder, or empty this one.')
    else:
        write_bytes(path, (json.dumps(settings, indent=2) + '\n').encode())


def write_block(dataset: LSUN, out: Path, settings: Settings, stop: bool, block: range) -> Export:
    """Write the images of `block` that are not there yet."""
    folder = out / f'{block.start // PER_FOLDER:05d}'
    make_folder(folder)
    suffix = '.webp' if settings.format == ORIGINAL else FORMATS[settings.format][0]
    written, found, bad = 0, 0, []
    for position in block:
        path = folder / f'{position:08d}{suffix}'
        if path.exists():
            found += 1
            continue
        try:
            # What is kept as it is has to be an image, too.
            pixels = dataset.read(position)['img']
        except InputError as error:
            if stop:
                raise
            bad.append(str(error))
            continue
        write_bytes(path, dataset.encoded(position) if settings.format == ORIGINAL else encode(pixels, settings))
        written += 1
    return Export(written, found, bad)


def encode(pixels: Any, settings: Settings) -> bytes:
    """Return `pixels` (H, W, 3), uint8, BGR, as the content of a file."""
    suffix, options = FORMATS[settings.format]
    return cv2.imencode(suffix, pixels, options(settings.quality))[1].tobytes()
