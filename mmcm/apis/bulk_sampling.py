"""Drawing any number of images into files, by any number of processes, in a run that may be killed and goes on.

The images are cut into blocks of one batch each, whoever draws them. A finished block is a file in a folder beside the
output, and all that the processes know of each other are these files. Process 0 puts them together.

MMEngine's test loop, which draws for the metrics, is not used here: it can neither go on where it was, nor keep the
composition of batches, and with it the rounding, apart from the number of processes.
"""
import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np
from torch import Tensor

from mmcm.apis import image_archives
from mmcm.apis.image_archives import ImageSet, read_origin
from mmcm.apis.inferencer import ConsistencyModelInferencer, check_count
from mmcm.noise.generators import SampleNoise, sample_seeds
from mmcm.samplers.base import Sampler
from mmcm.utils.errors import InputError
from mmcm.utils.files import remove, remove_leftovers, temporary, write_bytes
from mmcm.utils.progress import progress_bar, terminal
from mmcm.utils.weights import digest
from mmcm.version import __version__

PATIENCE = 120.  # seconds without news of the other processes, after which process 0 draws what is missing itself
LOG_INTERVAL = 60.  # seconds between lines of progress where no terminal shows a bar


@dataclass(frozen=True)
class BulkSampling:
    """What a process of a run has to tell at its end.

    Attributes:
        outs (list[Path]): The files and folders with the images.
        written (list[Path]): Those of them that this process wrote; the others had been there.
        num_drawn (int): Images that were drawn since this process began, by all; the others had been there.
        seconds (float): Time that the drawing took, loading and putting together not counted.
        num_calls (int): Network calls per image.
    """

    outs: list[Path]
    written: list[Path]
    num_drawn: int
    seconds: float
    num_calls: int


def sample_to_files(inferencer: ConsistencyModelInferencer,
                    outs: Union[Sequence[Union[str, Path]], str, Path],
                    num_images: int,
                    labels: Union[Sequence[Union[int, str]], int, str, None] = None,
                    seed: int = 0,
                    sampler: Optional[Sampler] = None,
                    batch_size: Optional[int] = None,
                    columns: Optional[int] = None,
                    clip: bool = True,
                    rank: int = 0,
                    world_size: int = 1,
                    progress: bool = False) -> BulkSampling:
    """Draw images into files.

    All processes of a run call this with the same arguments, and share the file system that `outs` are on. A run that
    was killed goes on where it was when it is started again, also by another number of processes, and ends with the
    same bytes. Process 0 returns when the outputs are there, the others when they have drawn their share.

    Args:
        inferencer (ConsistencyModelInferencer): The model; its weights are read only when all else has been checked.
        outs (Sequence[str | Path] | str | Path): Where to write, in as many forms as are named. By the suffix: `.npz`
            (`arr_0` uint8 (N, H, W, C), `arr_1` int64 labels), `.zip` or a folder of PNGs with `dataset.json`, `.png`
            for a sheet of all images. Files are overwritten, folders have to be empty; what has been drawn from the
            same request is left as it is.
        num_images (int): How many, N.
        labels (Sequence[int | str] | int | str, optional): Classes; see `ConsistencyModelInferencer`.
        seed (int): Seed of the run; image i draws from the seed i + N * `seed`.
        sampler (Sampler, optional): A sampler other than the inferencer's own.
        batch_size (int, optional): Images per call of the sampler, and per block; by default as many as the inferencer
            takes.
        columns (int, optional): Images per row of a sheet.
        clip (bool): Whether each estimate of the clean images is clipped to [-1, 1]; the images always are.
        rank (int): Which of the processes this is.
        world_size (int): How many processes there are.
        progress (bool): Whether process 0 shows progress on stderr.

    Raises:
        InputError: If the arguments do not fit the model or each other, an output cannot be written, or the folder of
            blocks is of another request.
    """
    outs = [Path(out) for out in ([outs] if isinstance(outs, (str, Path)) else outs)]
    check_count('num_images', num_images)
    batch_size = inferencer.batch_size if batch_size is None else batch_size
    check_count('batch_size', batch_size)
    channels, height, width = inferencer.model.image_shape
    shape = (num_images, height, width, channels)
    if not outs:
        raise InputError('no output is named: give a path that ends in .npz, .zip or .png, or a folder.')
    parts = Parts(outs[0].with_name(outs[0].name + '.parts'), shape, batch_size)
    _check_outs(outs, parts, columns)
    seeds = sample_seeds(num_images, seed)
    SampleNoise((seeds[0], seeds[-1]))  # an InputError where a seed is too large
    labels = inferencer.choose_labels(labels, num_images, seed)
    sampler = inferencer.sampler if sampler is None else sampler

    origin = _plain(
        dict(
            num_images=num_images,
            seed=seed,
            labels=labels and hashlib.sha256(np.asarray(labels, '<i8')).hexdigest(),
            sampler=dict(vars(sampler), type=type(sampler).__name__),
            clip=clip,
            denoiser=inferencer.config.model.denoiser,
            mmcm=__version__))
    settings = dict(batch_size=batch_size, device=inferencer.device.type)

    def origin_of(out: Path) -> dict:
        return {**origin, 'columns': columns} if image_archives.is_sheet(out) else origin

    def unfinished() -> list[Path]:
        return [out for out in outs if not _agrees(read_origin(out), origin_of(out))]

    _check_unfinished(unfinished(), parts, {**origin, **settings})  # first without the weights, which take long to read
    inferencer.load()
    origin['weights'] = digest(inferencer.model.drawing_denoiser.backbone.state_dict())
    _check_unfinished(unfinished(), parts, {**origin, **settings})
    parts.open({**origin, **settings})
    if not unfinished():  # asked again now: process 0 may have ended just before the folder was made
        parts.remove()
        return BulkSampling(outs, [], 0, 0., sampler.num_calls)

    def draw(index: int) -> None:
        block = parts.slice(index)
        images = inferencer.model.draw(seeds[block], labels and labels[block], batch_size, sampler=sampler, clip=clip)
        parts.write(index, images)

    started = time.monotonic()
    try:
        with _Report(parts, progress and rank == 0) as report:
            for index in parts.missing(range(rank, parts.num_blocks, world_size)):
                draw(index)
                report()
            if rank == 0:
                _wait_for_others(parts, draw, report)
    except InputError:
        if rank and not unfinished():  # another process was faster, and has removed the folder
            return BulkSampling(outs, [], 0, 0., sampler.num_calls)
        raise
    seconds = time.monotonic() - started
    written = unfinished() if rank == 0 else []
    for out in written:
        image_archives.write(out, ImageSet(shape, parts.blocks, labels, origin_of(out)), columns)
    if rank == 0:
        parts.remove()
    return BulkSampling(outs, written, report.total, seconds, sampler.num_calls)


class Parts:
    """The folder of the finished blocks, each a file of raw pixels that appears when it is whole.

    Args:
        folder (Path): Where it is.
        shape (tuple[int, int, int, int]): Of all images, (N, H, W, C).
        batch_size (int): Images per block; the last one may have fewer.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int, int], batch_size: int) -> None:
        self.folder = folder
        self.shape = shape
        self.batch_size = batch_size
        self.num_blocks = math.ceil(shape[0] / batch_size)
        self.manifest = folder / 'request.json'

    def check(self, request: dict) -> None:
        """Raise an InputError if the folder is of a request that differs in any entry of `request`."""
        try:
            found = json.loads(self.manifest.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise InputError(f'{self.manifest} cannot be read: delete {self.folder} to start anew.') from error
        others = [key for key, value in request.items() if found.get(key) != value]
        if others:
            told = ', '.join(_difference(key, found.get(key), request[key]) for key in others)
            raise InputError(f'{self.folder} holds an unfinished run of another request ({told}). Give the arguments '
                             'of that one to finish it, delete the folder, or write to another place.')

    def open(self, request: dict) -> None:
        """Make the folder and note what it is of, unless another process has."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f'{self.folder} cannot be made: {error.strerror}. Choose another place.') from error
        if not self.manifest.exists():
            write_bytes(self.manifest, json.dumps(request, indent=1).encode())

    def slice(self, index: int) -> slice:
        """Return the place of a block among the images."""
        return slice(index * self.batch_size, min((index + 1) * self.batch_size, self.shape[0]))

    def missing(self, indices: Optional[Iterable[int]] = None) -> list[int]:
        """Return those of `indices`, by default of all, whose blocks are not there or not whole."""
        indices = range(self.num_blocks) if indices is None else indices
        return [index for index in indices if not self._is_whole(index)]

    def num_images(self, indices: Iterable[int]) -> int:
        """Return the number of images in the blocks `indices`."""
        blocks = map(self.slice, indices)
        return sum(block.stop - block.start for block in blocks)

    def write(self, index: int, images: Tensor) -> None:
        """Write a block of images, uint8 (B, C, H, W)."""
        write_bytes(self._path(index), images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the blocks in order, each uint8 (B, H, W, C)."""
        for index in range(self.num_blocks):
            yield np.fromfile(self._path(index), np.uint8).reshape(-1, *self.shape[1:])

    def remove(self) -> None:
        """Remove the folder: at once for all processes, whatever interrupts the deletion of its files."""
        remove_leftovers(self.folder)
        part = temporary(self.folder)
        with suppress(FileNotFoundError):
            self.folder.rename(part)
            remove(part)

    def _path(self, index: int) -> Path:
        return self.folder / f'block_{index:06d}.raw'

    def _is_whole(self, index: int) -> bool:
        with suppress(FileNotFoundError):
            return self._path(index).stat().st_size == self.num_images((index, )) * math.prod(self.shape[1:])
        return False


class _Report:
    """Progress of all processes together on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, parts: Parts, shown: bool) -> None:
        self.parts = parts
        self.shown = shown
        self.missing = parts.missing()
        self.total = parts.num_images(self.missing)
        self.done = 0

    def __enter__(self) -> '_Report':
        present = self.parts.shape[0] - self.total
        if self.shown and present:
            print(f'{self.parts.folder} holds {present} of {self.parts.shape[0]} images already', file=sys.stderr)
        self.logs = self.shown and terminal() is None
        self.bar = progress_bar('drawing', self.total, self.shown)
        self.advance = self.bar.__enter__()
        self.started = self.looked = self.told = time.monotonic()
        return self

    def __exit__(self, *error: Any) -> None:
        self._look()
        self.bar.__exit__(*error)

    def __call__(self) -> None:
        """Look, at most once a second, at what is there, and tell of it."""
        now = time.monotonic()
        if not self.shown or now - self.looked < 1:
            return
        self._look()
        self.looked = now
        if self.logs and now - self.told >= LOG_INTERVAL:
            self.told = now
            print(progress_line(self.done, self.total, now - self.started), file=sys.stderr, flush=True)

    def _look(self) -> None:
        self.missing = self.parts.missing(self.missing)
        done = self.total - self.parts.num_images(self.missing)
        for _ in range(done - self.done):
            self.advance()
        self.done = done


def progress_line(done: int, total: int, seconds: float) -> str:
    """Return how far the drawing is, with the time that is left if it goes on as before."""
    line = f'{done} of {total} images in {timedelta(seconds=round(seconds))}'
    if not done:
        return line
    left = timedelta(seconds=round((total - done) * seconds / done))
    return f'{line}, {done / seconds:.4g} images/s, {left} left'


def _wait_for_others(parts: Parts, draw: Callable[[int], None], report: _Report) -> None:
    """Wait until all blocks are there; when there has been no news for long, draw them."""
    awaited, news, told = parts.missing(), time.monotonic(), False
    while awaited:
        if time.monotonic() - news > PATIENCE:
            if not told:
                print(f'No news of the other processes for {PATIENCE:g} s: process 0 draws the {len(awaited)} batches '
                      'that are missing', file=sys.stderr)
            told = True
            draw(awaited.pop())
        else:
            time.sleep(0.1)
        report()
        missing = parts.missing(awaited)
        if len(missing) < len(awaited):
            awaited, news = missing, time.monotonic()


def _check_outs(outs: Sequence[Path], parts: Parts, columns: Optional[int]) -> None:
    """Raise an InputError unless `outs` can be written to, and there is room for them."""
    if len({out.absolute() for out in outs}) < len(outs):
        raise InputError(f'an output is named twice: {", ".join(map(str, outs))}.')
    for out in outs:
        image_archives.check_path(out, parts.shape)
    if columns is not None:
        check_count('columns', columns)
        if not any(map(image_archives.is_sheet, outs)):
            raise InputError('columns are of a sheet, and no output ends in .png. Leave them out.')
    folder = parts.folder.parent
    # How small PNGs get is not known; they count as nothing.
    files = [out for out in outs if out.suffix.lower() == '.npz' and out.parent.stat().st_dev == folder.stat().st_dev]
    present = sum(path.stat().st_size for path in parts.folder.glob('*'))
    needed = math.prod(parts.shape) * (1 + len(files)) - present
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(f'{folder} has {free / 1e9:.4g} GB of free space, and {needed / 1e9:.4g} GB are needed. Make '
                         'room, or choose another place.')


def _check_unfinished(outs: Sequence[Path], parts: Parts, request: dict) -> None:
    """Raise an InputError unless `outs` can be made from `parts`."""
    for out in outs:
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f'{out} is not empty, and was not drawn from this request: empty it, or name another '
                             'folder.')
    parts.check(request)


def _agrees(found: Any, origin: Mapping[str, Any]) -> bool:
    return isinstance(found, dict) and all(found.get(key) == value for key, value in origin.items())


def _difference(key: str, theirs: Any, ours: Any) -> str:
    """Say how an entry differs; digests and configs tell a person nothing."""
    if isinstance(theirs, int) and isinstance(ours, int):
        return f'{key} {theirs} instead of {ours}'
    return f'other {key}'


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it, so that it equals what is read back."""
    return json.loads(json.dumps(value, default=lambda other: type(other).__name__))
