"""Drawing any number of images into files, by any number of processes, in a run that may be killed and goes on.

The images are cut into blocks of whole batches, the same ones whoever draws them. A finished block is a file in a
folder beside the output, and all that the processes know of each other are these files. Process 0 puts them together.

MMEngine's test loop, which draws for the metrics, is not used here: it can neither go on where it was, nor keep the
composition of batches, and with it the rounding, apart from the number of processes.
"""

import hashlib
import json
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.request import SampleRequest
from mmcm.apis.sampling import image_archives
from mmcm.apis.sampling.image_archives import ImageSet, read_origin
from mmcm.checkpoints.weights import digest
from mmcm.samplers.base import Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.bounded import read_json
from mmcm.utils.checks import check_count, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.files import remove, remove_leftovers, temporary, write_bytes
from mmcm.utils.finite import NotFiniteError
from mmcm.utils.locks import locked
from mmcm.utils.outputs import check_kind, check_name, folder_made
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

MAX_BLOCKS = 2000  # of a run; each is a file, and what a process that is killed may lose
PATIENCE = 120.0  # seconds without news of the other processes, after which process 0 draws what is missing itself
BLOCKS_OF_PATIENCE = 3  # it waits for as long as so many of its own blocks took, where that is longer
LOOK_INTERVAL = 0.5  # seconds between looks at what the other processes have drawn


@dataclass(frozen=True)
class BulkSampling:
    """What a process of a run has to tell at its end.

    Attributes:
        outs (list[Path]): The files and folders with the images.
        written (list[Path]): Those of them that this process wrote; the others had been there.
        num_drawn (int): Images that were drawn since this process began, by all; the others had been there.
        seconds (float): Time that the drawing took, loading and putting together not counted.
        nfe (int): Calls of the network per image.
        num_images (int): Images of the request.
    """

    outs: list[Path]
    written: list[Path]
    num_drawn: int
    seconds: float
    nfe: int
    num_images: int

    @property
    def num_calls(self) -> int:
        """`nfe`. Deprecated."""
        warnings.warn('num_calls is nfe now.', DeprecationWarning, stacklevel=2)
        return self.nfe


def sample_to_files(
    inferencer: ConsistencyModelInferencer,
    outs: Sequence[str | Path] | str | Path,
    num_images: int | None = None,
    labels: Sequence[int | str] | int | str | None = None,
    seed: int = 0,
    sampler: Sampler | None = None,
    batch_size: int | None = None,
    columns: int | None = None,
    clip: bool = True,
    rank: int = 0,
    world_size: int = 1,
    progress: bool = False,
    force: bool | None = None,
    **steps: Any,
) -> BulkSampling:
    """Draw images into files.

    All processes of a run call this with the same arguments, and share the file system that `outs` are on. A run that
    was killed goes on where it was when it is started again, also by another number of processes, and ends with the
    same bytes. Process 0 returns when the outputs are there, the others when they have drawn their share.

    Args:
        inferencer (ConsistencyModelInferencer): The model; its weights are read only when all else has been checked.
        outs (Sequence[str | Path] | str | Path): Where to write, in as many forms as are named. By the suffix: `.npz`
            (`arr_0` uint8 (N, H, W, C), `arr_1` int64 labels), `.zip` or a folder of PNGs with `dataset.json`, `.png`
            for a sheet of all images. What has been drawn from the same request is left as it is.
        num_images (int, optional): How many, N; by default one per label, or 1.
        labels (Sequence[int | str] | int | str, optional): Classes; see `ConsistencyModelInferencer`.
        seed (int): Seed of the run; image i draws from the seed i + N * `seed`.
        sampler (Sampler, optional): A sampler other than the inferencer's own.
        batch_size (int, optional): Images per call of the sampler, by default as many as the inferencer takes. On a
            GPU, what does not fit the memory is halved.
        columns (int, optional): Images per row of a sheet.
        clip (bool): Whether each estimate of the clean images is clipped to [-1, 1]; the images always are.
        rank (int): Which of the processes this is.
        world_size (int): How many processes there are.
        progress (bool): Whether process 0 shows progress on stderr.
        force (bool, optional): Whether files and folders that were drawn are replaced; None: files alone.
        steps: `num_steps`, `timesteps` or `sigmas` in place of a sampler; see `ConsistencyModelInferencer`.

    Raises:
        InputError: If the arguments do not fit the model or each other, an output cannot be written or exists, the
            folder of blocks is of another request, or another process is drawing into the same place.
    """
    outs = [outs] if isinstance(outs, (str, Path)) else outs
    outs = [Path(os.path.abspath(os.path.expanduser(out))) for out in outs]
    if not outs:
        raise InputError('no output is named: give a path that ends in .npz, .zip or .png, or a folder.')
    for out in outs:
        check_name(out)
        check_kind(out, folders=True)
    if len(set(outs)) < len(outs):
        raise InputError(f'an output is named twice: {", ".join(map(str, outs))}.')
    with ExitStack() as stack:
        for out in outs if rank == 0 else ():  # the other processes of the run draw for this one
            stack.enter_context(folder_made(out))
            stack.enter_context(locked(out, 'being drawn'))
        if has_length(seed):
            raise InputError(f'the seed of a run has to be one integer, got {seed!r}.')
        request = inferencer.request(num_images, labels, seed, batch_size, sampler=sampler, clip=clip, **steps)
        return _sample_to_files(inferencer, outs, request, columns, rank, world_size, progress, force)


def _sample_to_files(
    inferencer: ConsistencyModelInferencer,
    outs: list[Path],
    request: SampleRequest,
    columns: int | None,
    rank: int,
    world_size: int,
    progress: bool,
    force: bool | None,
) -> BulkSampling:
    """Sample a request into files, whose names are checked; see `sample_to_files`."""
    channels, height, width = inferencer.model.image_shape
    shape = (request.num_images, height, width, channels)
    parts = Parts(outs[0].parent / f'{outs[0].name}.parts', shape, request.batch_size)
    _check_outs(outs, shape, columns)
    columns = columns and int(columns)
    if rank == 0:  # which writes `outs`; while it does, the others would find less room than there is
        for out in outs:
            remove_leftovers(out)  # now, for the room that they take
        _check_room([out for out in outs if not out.exists()], parts)  # before there are labels, maybe far too many
    labels, sampler = request.labels, request.sampler

    origin = _plain(
        dict(
            num_images=request.num_images,
            seed=request.seed,
            labels=labels and hashlib.sha256(np.asarray(labels, '<i8')).hexdigest(),
            sampler=dict(vars(sampler), type=type(sampler).__name__),
            clip=request.clip,
            denoiser=inferencer.config.model.denoiser,
            mmcm=__version__,
        )
    )
    settings = dict(batch_size=request.batch_size, device=inferencer.device.type)

    def origin_of(out: Path) -> dict:
        return {**origin, 'columns': columns} if image_archives.is_sheet(out) else origin

    def unfinished() -> list[Path]:
        return [out for out in outs if not _agrees(read_origin(out), origin_of(out))]

    _check_unfinished(unfinished(), parts, {**origin, **settings}, force)  # first without weights, which take long
    if rank == 0:
        _check_room(unfinished(), parts)
    inferencer.load()
    origin['weights'] = digest(inferencer.model.inference_denoiser.backbone.state_dict())
    _check_unfinished(unfinished(), parts, {**origin, **settings}, force)
    nothing_done = BulkSampling(outs, [], 0, 0.0, sampler.nfe, request.num_images)
    batches = Batches(request.batch_size)  # for the whole run: what did not fit the memory once is not tried again

    def draw(index: int) -> float:
        """Draw a block, and return how many seconds that took."""
        started = time.monotonic()
        parts.write(index, inferencer.sample(request.rows(parts.slice(index)), batches=batches).pixels)
        return time.monotonic() - started

    started = time.monotonic()
    try:
        parts.open({**origin, **settings})
        if not unfinished():  # asked again now: process 0 may have ended just before the folder was made
            parts.remove()
            return nothing_done
        with _Report(parts, progress and rank == 0) as report:
            patience = PATIENCE
            for index in parts.missing(range(rank, parts.num_blocks, world_size)):
                patience = max(patience, BLOCKS_OF_PATIENCE * draw(index))
                report()
            if rank == 0:
                _wait_for_others(draw, report, patience)
    except InputError as error:
        if isinstance(error, NotFiniteError) and world_size == 1:
            parts.remove()  # or the same command in another precision would find a run that is not its own
        if rank and not unfinished():  # another process was faster, and has removed the folder
            return nothing_done
        raise
    seconds = time.monotonic() - started
    written = unfinished() if rank == 0 else []
    for out in written:
        images = ImageSet(shape, parts.blocks, labels, origin_of(out), request.names)
        image_archives.write(out, images, columns)
    if rank == 0:
        parts.remove()
    return BulkSampling(outs, written, report.total, seconds, sampler.nfe, request.num_images)


class Parts:
    """The folder of the finished blocks, each a file of raw pixels that appears when it is whole.

    Args:
        folder (Path): Where it is.
        shape (tuple[int, int, int, int]): Of all images, (N, H, W, C).
        batch_size (int): Images per batch. A block has as many batches as it takes to have no more than `MAX_BLOCKS`,
            and the last one what is left.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int, int], batch_size: int) -> None:
        self.folder = folder
        self.shape = shape
        self.block_size = batch_size * math.ceil(shape[0] / (batch_size * MAX_BLOCKS))
        self.num_blocks = math.ceil(shape[0] / self.block_size)
        self.manifest = folder / 'request.json'

    def check(self, request: dict) -> None:
        """Raise an InputError if the folder is of a request that differs in any entry of `request`."""
        try:
            found = dict(read_json(self.manifest))
        except FileNotFoundError:
            return
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f'{self.manifest} cannot be read: delete {self.folder} to start anew.') from error
        others = [key for key, value in request.items() if found.get(key) != value]
        if others:
            told = ', '.join(_difference(key, found.get(key), request[key]) for key in others)
            raise InputError(
                f'{self.folder} holds an unfinished run of another request ({told}). Give the arguments '
                'of that one to finish it, delete the folder, or write to another place.'
            )

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
        return slice(index * self.block_size, min((index + 1) * self.block_size, self.shape[0]))

    def missing(self, indices: Iterable[int] | None = None) -> list[int]:
        """Return those of `indices`, by default of all, whose blocks are not there or not whole."""
        present = set()
        with suppress(OSError):
            present.update(os.listdir(self.folder))  # one look for all: the folder may be far away
        indices = range(self.num_blocks) if indices is None else indices
        return [index for index in indices if self._path(index).name not in present or not self._is_whole(index)]

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
            return self._path(index).stat().st_size == self.num_images((index,)) * math.prod(self.shape[1:])
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
        self.bar = progress_bar('sampling', self.total, self.shown, 'images')
        self.advance = self.bar.__enter__()
        self.looked = time.monotonic()
        return self

    def __exit__(self, *error: Any) -> None:
        self.look()
        self.bar.__exit__(*error)

    def __call__(self) -> None:
        """Look, now and then, at what is there, and tell of it."""
        if self.shown and time.monotonic() - self.looked >= LOOK_INTERVAL:
            self.look()

    def look(self) -> list[int]:
        """Tell of what is there, and return the blocks that are not."""
        self.missing = self.parts.missing(self.missing)
        done = self.total - self.parts.num_images(self.missing)
        for _ in range(done - self.done):
            self.advance()
        self.done = done
        self.looked = time.monotonic()
        return self.missing


def _wait_for_others(draw: Callable[[int], float], report: _Report, patience: float) -> None:
    """Wait until all blocks are there; when there has been no news for `patience` seconds, draw them."""
    awaited, news, told = report.look(), time.monotonic(), False
    while awaited:
        if time.monotonic() - news > patience:
            if not told:
                print(
                    f'No news of the other processes for {patience:.4g} s: process 0 draws the {len(awaited)} blocks '
                    'that are missing',
                    file=sys.stderr,
                )
            told = True
            patience = max(patience, BLOCKS_OF_PATIENCE * draw(awaited[-1]))  # the others begin at the front
            awaited = awaited[:-1]
        else:
            time.sleep(LOOK_INTERVAL)
        missing = report.look()
        if len(missing) < len(awaited):
            awaited, news = missing, time.monotonic()


def _check_outs(outs: Sequence[Path], shape: tuple[int, int, int, int], columns: int | None) -> None:
    """Raise an InputError unless images (N, H, W, C) could be written to `outs`."""
    for out in outs:
        image_archives.check_path(out, shape)
    if columns is not None:
        check_count('columns', columns)
        if not any(map(image_archives.is_sheet, outs)):
            raise InputError('columns are of a sheet, and no output ends in .png. Leave them out.')


def _check_room(outs: Sequence[Path], parts: Parts) -> None:
    """Raise an InputError unless there is room for `outs` and the blocks that they still need."""
    if not outs:
        return
    folder = parts.folder.parent
    # How small PNGs get is not known; they count as nothing.
    files = [out for out in outs if out.suffix.lower() == '.npz' and out.parent.stat().st_dev == folder.stat().st_dev]
    needed = math.prod(parts.shape[1:]) * (parts.num_images(parts.missing()) + parts.shape[0] * len(files))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f'{folder} has {free / 1e9:.4g} GB of free space, and {needed / 1e9:.4g} GB are needed. Make '
            'room, or choose another place.'
        )


def _check_unfinished(outs: Sequence[Path], parts: Parts, request: dict, force: bool | None) -> None:
    """Raise an InputError unless `outs` can be made from `parts`, and may be replaced where they are there."""
    for out in outs:
        drawn = read_origin(out)
        if out.is_dir() and any(out.iterdir()) and not (force and drawn):
            way = 'give --force to replace it, or another --out' if drawn else 'name a new folder'
            raise InputError(f'{out} is not empty, and was not drawn from this request: {way}.')
        if force is False and os.path.lexists(out) and not out.is_dir():
            raise InputError(f'{out} exists, drawn from no such request: give --force to replace it, or another --out.')
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
