"""LSUN export: the images of a database as files, cropped and scaled like the released models' data.

See Dhariwal & Nichol (2021, arXiv 2105.05233).
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from mmcm.datasets.lsun import LSUN
from mmcm.datasets.transforms.center_crop import center_crop
from mmcm.datasets.transforms.shorter_side import MAX_SIDE
from mmcm.utils.block_store import BlockStore, Journal
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.corrupt_images import LEAVE_OUT, ON_CORRUPT
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove, write_bytes
from mmcm.utils.image_shape import Size, json_size, plain_size
from mmcm.utils.interrupts import end_with_parent, unseen_by_children
from mmcm.utils.locks import locked
from mmcm.utils.outputs import check_free, check_outputs, folder_made
from mmcm.utils.progress import progress_bar

FORMATS = dict(  # suffix, and the options of OpenCV
    png=('.png', lambda quality: [cv2.IMWRITE_PNG_COMPRESSION, 6]),
    jpeg=('.jpg', lambda quality: [cv2.IMWRITE_JPEG_QUALITY, quality]),
    webp=('.webp', lambda quality: [cv2.IMWRITE_WEBP_QUALITY, quality]),
)
ORIGINAL = 'original'  # the bytes of the database, which are WebP
SETTINGS_FILE = 'export.json'
CORRUPT_FILE = 'corrupt.txt'
IS_OURS = re.compile(rf'\d{{5}}|{re.escape(CORRUPT_FILE)}')  # names that an export writes
PER_FOLDER = 1000  # images in a folder, which a process writes at a time
START = 'spawn'  # how worker processes begin


class Export(NamedTuple):
    """Result of an export."""

    num_written: int
    num_found: int  # of an earlier run
    corrupt: list[str]  # source and reason, a line each


class Settings(NamedTuple):
    """Format of the images; see `export_lsun`."""

    format: str
    size: int | list[int] | None
    quality: int | None


def export_lsun(
    data_root: str,
    out: Path,
    file_format: str = 'png',
    size: Size | None = 256,
    quality: int = 95,
    max_images: int | None = None,
    corrupt: str = ON_CORRUPT[0],
    workers: int = 1,
    progress: bool = False,
    force: bool = False,
) -> Export:
    """Write the images of a database to `out`/00000/00000000.png and so on, in its order.

    A stopped export resumes when it is called again. Each file appears whole or not at all. Nothing is left if no
    image could be written.

    Args:
        data_root (str): See LSUN.
        out (Path): The folder for the images, for `corrupt.txt`, which lists images that could not be decoded, and for
            `export.json`, which holds the settings.
        file_format (str): 'png', 'jpeg', 'webp' or 'original': the bytes as they are in the database.
        size (int | Sequence[int], optional): Size of the images in pixels: the side of a square, or (height, width);
            neither cropped nor scaled if None.
        quality (int): Of 'jpeg' and 'webp', 1 to 100.
        max_images (int, optional): Export only the first images, this many at most.
        corrupt (str): What to do with an image that cannot be decoded: 'stop' or 'skip'.
        workers (int): Number of processes.
        progress (bool): Whether to show a bar.
        force (bool): Whether existing files are replaced, instead of kept as those of this export.

    Raises:
        InputError: If the database or the folder cannot be used, another process is writing into the folder, or it
            holds an export with other settings or, before any export, files of the names that this one writes.
    """
    check_count('workers', workers)
    check_count('quality', quality, most=100)
    if max_images is not None:
        check_count('max_images', max_images)
    if size is not None:
        size = plain_size(size, most=MAX_SIDE)
    check_choice('format', file_format, (*FORMATS, ORIGINAL))
    check_choice('corrupt', corrupt, ON_CORRUPT)
    crop = [] if size is None else [center_crop(size)]
    dataset = LSUN(data_root, [dict(type='LoadImage'), *crop])
    settings = Settings(
        file_format,
        None if file_format == ORIGINAL or size is None else json_size(size),
        quality if file_format in ('jpeg', 'webp') else None,
    )
    check_outputs({'OUT': out}, force=True, folders=True)
    with folder_made(out.absolute()), locked(out, 'being written'):
        made, new = not out.exists(), not (out / SETTINGS_FILE).exists()
        if new and not force and out.is_dir():
            check_free('OUT', out, [path.name for path in out.iterdir() if IS_OURS.fullmatch(path.name)])
        try:
            open_journal(out, settings, dataset, force)
            total = min(len(dataset), max_images or len(dataset))
            blocks = [range(start, min(start + PER_FOLDER, total)) for start in range(0, total, PER_FOLDER)]
            folders = [out / f'{number:05d}' for number in range(len(blocks))]
            work = partial(write_block, dataset, settings, corrupt == 'stop', force)
            done = []
            with progress_bar('exporting', len(blocks), progress, 'blocks') as advance:
                for block in results(work, folders, blocks, min(workers, len(blocks))):
                    done.append(block)
                    advance()
            bad = [line for block in done for line in block.corrupt]
            write_bytes(out / CORRUPT_FILE, ''.join(f'{line}\n' for line in bad).encode(errors='backslashreplace'))
        except InputError:
            if new:
                remove_if_empty(out, made)
            raise
    return Export(sum(block.num_written for block in done), sum(block.num_found for block in done), bad)


def open_journal(out: Path, settings: Settings, dataset: LSUN, force: bool) -> None:
    """Write the settings of an export to `out`, unless they are there; an InputError if it has others."""
    advice = 'choose another folder, empty this one, or give --force to replace its files'
    journal = Journal(out / SETTINGS_FILE, 'an export', advice, indent=2)
    request = {**settings._asdict(), 'source': dataset.fingerprint}
    found = None if force else journal.read()
    journal.check(request, found)
    if found is None:
        make_folder(out)
        journal.write(request)


def remove_if_empty(out: Path, made: bool) -> None:
    """Remove folders without images; if nothing else is in `out`, its settings, and `out` itself if it was `made`."""
    with suppress(OSError):  # from folders that are not empty
        for folder in out.glob('[0-9]*'):
            folder.rmdir()
        if all(path.name == SETTINGS_FILE for path in out.iterdir()):
            remove(out / SETTINGS_FILE)
            if made:
                out.rmdir()


def results(
    work: Callable[[Path, range], Export], folders: list[Path], blocks: list[range], workers: int
) -> Iterator[Export]:
    """Yield what `work` returns for each folder and its block, in order, by several processes."""
    if workers == 1:
        yield from map(work, folders, blocks)
        return
    # Spawned, not forked: this process may have threads of torch or OpenCV.
    with ProcessPoolExecutor(workers, get_context(START), begin_worker) as pool:
        try:
            with unseen_by_children():
                found = pool.map(work, folders, blocks)
            yield from found
        except BrokenProcessPool as error:
            raise InputError(
                'a process that writes images was killed, maybe for want of memory. What has been written '
                'is kept: the same command goes on, maybe with fewer --workers.'
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def begin_worker() -> None:
    """Set up a process that writes images, on one core."""
    cv2.setNumThreads(0)
    end_with_parent()


def write_block(dataset: LSUN, settings: Settings, stop: bool, force: bool, folder: Path, block: range) -> Export:
    """Write the images of `block` that are missing in `folder`, with `force` all of them."""
    suffix = '.webp' if settings.format == ORIGINAL else FORMATS[settings.format][0]
    store = BlockStore(folder, f'{{:08d}}{suffix}')  # of one image each
    store.open()
    positions = block if force else store.missing(block)
    bad = []
    for position in positions:
        try:
            pixels = dataset.read(position)['img']  # also before original bytes are written: they may be no image
        except InputError as error:
            if stop:
                raise InputError(f'{error} {LEAVE_OUT}, and goes on from there.') from error
            bad.append(str(error))
            continue
        store.write(position, dataset.encoded(position) if settings.format == ORIGINAL else encode(pixels, settings))
    return Export(len(positions) - len(bad), len(block) - len(positions), bad)


def encode(pixels: Any, settings: Settings) -> bytes:
    """Return `pixels` (H, W, 3), uint8, BGR, as the content of a file."""
    suffix, options = FORMATS[settings.format]
    return cv2.imencode(suffix, pixels, options(settings.quality))[1].tobytes()
