"""Bulk sampling: any number of images into files, by any number of processes, in a run that can be killed and resumed.

The images are cut into blocks of whole batches, which do not depend on the number of processes. A finished block is a
file in a `BlockStore` beside the output; process 0 puts the blocks together.

MMEngine's test loop, which samples for the metrics, is not used here: it cannot resume, and its batches, and with them
the rounding, depend on the number of processes.
"""

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.provenance import sampling_record
from mmcm.apis.request import SampleRequest
from mmcm.apis.sampling import image_archives
from mmcm.apis.sampling.image_archives import ImageSet, read_origin
from mmcm.apis.sampling.image_blocks import BLOCKS_OF_PATIENCE, ImageBlocks, Report, wait_for_others
from mmcm.checkpoints.weights import digest
from mmcm.renamed import renamed_member
from mmcm.samplers.base import Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.checks import check_count, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.files import check_room, remove_leftovers
from mmcm.utils.finite import NotFiniteError
from mmcm.utils.locks import locked
from mmcm.utils.outputs import check_kind, check_name, folder_made
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

OPTIONAL = (
    'guidance',
    'dtype',
    'compiled',
)  # entries that an origin has only with guidance, in another dtype, compiled
PATIENCE = 120.0  # seconds without news of the other processes, after which process 0 samples the missing blocks itself


@dataclass(frozen=True)
class BulkSampling:
    """Result of a run in one process.

    Attributes:
        outs (list[Path]): The files and folders with the images.
        written (list[Path]): The `outs` that this process wrote; the others existed.
        num_drawn (int): Images that all processes sampled since this one began; the others existed.
        seconds (float): Time of sampling, without loading the weights and writing `outs`.
        nfe (int): NFE per image.
        num_images (int): Images of the request.
    """

    outs: list[Path]
    written: list[Path]
    num_drawn: int
    seconds: float
    nfe: int
    num_images: int
    num_calls = renamed_member('num_calls', 'nfe')


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
    """Sample images into files.

    All processes of a run call this with the same arguments and share the file system of `outs`. A killed run resumes
    when it is started again, by any number of processes, and ends with the same bytes. Process 0 returns when the
    outputs are complete, the others when they have sampled their share.

    Args:
        inferencer (ConsistencyModelInferencer): The model; its weights are read after all other checks.
        outs (Sequence[str | Path] | str | Path): Where to write, one or several outputs. By the suffix: `.npz`
            (`arr_0` uint8 (N, H, W, C), `arr_1` int64 labels), `.zip` or a folder of PNGs with `dataset.json`, `.png`
            for a grid of all images. An output of the same request is left unchanged.
        num_images (int, optional): How many, N; by default one per label, or 1.
        labels (Sequence[int | str] | int | str, optional): Classes; see `ConsistencyModelInferencer`.
        seed (int): Seed of the run; image i has the seed i + N * `seed`.
        sampler (Sampler, optional): A sampler other than the inferencer's own.
        batch_size (int, optional): Images per call of the sampler, by default as many as the inferencer takes. On a
            GPU, what does not fit the memory is halved.
        columns (int, optional): Images per row of a grid.
        clip (bool): Whether each estimate of the clean images is clipped to [-1, 1]; the images always are.
        rank (int): Number of this process.
        world_size (int): Number of processes.
        progress (bool): Whether process 0 shows progress on stderr.
        force (bool, optional): Whether sampled files and folders are replaced; None: files alone.
        **steps: `num_steps`, `timesteps` or `sigmas` in place of a sampler, `guidance` and `guidance_interval`; see
            `ConsistencyModelInferencer`.

    Raises:
        InputError: If the arguments do not fit the model or each other, an output cannot be written or exists, the
            blocks are of another request, or another process samples into the same place.
    """
    outs = [outs] if isinstance(outs, (str, Path)) else outs
    paths = [Path(os.path.abspath(Path(out).expanduser())) for out in outs]
    if not paths:
        raise InputError('no output is named: give a path that ends in .npz, .zip or .png, or a folder.')
    for path in paths:
        check_name(path)
        check_kind(path, folders=True)
    if len(set(paths)) < len(paths):
        raise InputError(f'an output is named twice: {", ".join(map(str, paths))}.')
    with ExitStack() as stack:
        for path in paths if rank == 0 else ():  # the other processes of the run sample for this one
            stack.enter_context(folder_made(path))
            stack.enter_context(locked(path, 'being sampled'))
        if has_length(seed):
            raise InputError(f'the seed of a run has to be one integer, got {seed!r}.')
        request = inferencer.request(num_images, labels, seed, batch_size, sampler=sampler, clip=clip, **steps)
        run = _Run(inferencer, paths, request, columns, rank, world_size)
        run.check(force)
        return run.sample(progress)


class _Run:
    """Sampling of a request into files, whose names are checked, by one of the processes; see `sample_to_files`.

    The constructor makes room and checks it; `check` reads the weights, and compares the request with that of files
    and blocks that exist.
    """

    def __init__(
        self,
        inferencer: ConsistencyModelInferencer,
        outs: list[Path],
        request: SampleRequest,
        columns: int | None,
        rank: int,
        world_size: int,
    ) -> None:
        channels, height, width = inferencer.model.image_shape
        self.inferencer, self.outs, self.request = inferencer, outs, request
        self.rank, self.world_size = rank, world_size
        self.shape = (request.num_images, height, width, channels)
        self.blocks = ImageBlocks(outs[0].parent / f'{outs[0].name}.parts', self.shape, request.batch_size)
        _check_outs(outs, self.shape, columns)
        self.columns = columns and int(columns)
        if rank == 0:  # which writes `outs`; meanwhile the others would find too little room
            for out in outs:
                remove_leftovers(out)  # before the room is measured
            _check_room([out for out in outs if not out.exists()], self.blocks)  # before labels, maybe far too many
        labels, sampler = request.labels, request.sampler
        self.origin = _plain(
            dict(
                num_images=request.num_images,
                seed=request.seed,
                labels=labels and hashlib.sha256(np.asarray(labels, '<i8').data).hexdigest(),
                sampler=dict(vars(sampler), type=type(sampler).__name__),
                clip=request.clip,
                denoiser=inferencer.config.model.denoiser,
                mmcm=__version__,
            )
        )
        if request.guidance is not None and request.guidance.acts:  # without it, as before there was any
            self.origin['guidance'] = _plain(request.guidance.config())
        if inferencer.dtype != torch.float32:  # without it, as before 'auto' chose precisions
            self.origin['dtype'] = str(inferencer.dtype).removeprefix('torch.')
        if inferencer.compile_options is not None:
            self.origin['compiled'] = True
        # For the whole run: a size that did not fit the memory is not tried again.
        self.batches = Batches(request.batch_size)

    @property
    def journal(self) -> dict[str, Any]:
        """The request of the blocks: that of the images, and what their rounding depends on."""
        return {**self.origin, 'batch_size': self.request.batch_size, 'device': self.inferencer.device.type}

    def origin_of(self, out: Path) -> dict[str, Any]:
        """Return the origin that `out` records."""
        return {**self.origin, 'columns': self.columns} if image_archives.is_grid(out) else self.origin

    def unfinished(self) -> list[Path]:
        """Return the outputs that do not have the images of this request."""
        return [out for out in self.outs if not _agrees(read_origin(out), self.origin_of(out))]

    def check(self, force: bool | None) -> None:
        """Raise an InputError unless the outputs may be written, before the weights, which take long, and with them."""
        _check_unfinished(self.unfinished(), self.blocks, self.journal, force)
        if self.rank == 0:
            _check_room(self.unfinished(), self.blocks)
        self.inferencer.load()
        model = self.inferencer.model
        self.origin['weights'] = self.inferencer.weights_digest
        if model.guide is not None and 'guidance' in self.origin:
            self.origin['guide'] = digest(model.guide.denoiser.backbone.state_dict())
        _check_unfinished(self.unfinished(), self.blocks, self.journal, force)

    def sample(self, progress: bool) -> BulkSampling:
        """Sample the missing blocks; process 0 also writes the outputs."""
        started, blocks = time.monotonic(), self.blocks
        try:
            blocks.open()
            if not blocks.journal.path.exists():
                blocks.journal.write(self.journal)
            if not self.unfinished():  # asked again: process 0 may have ended just before the folder was made
                blocks.remove()
                return self.result([], 0, 0.0)
            total = self.sample_missing(progress and self.rank == 0)
        except InputError as error:
            if isinstance(error, NotFiniteError) and self.world_size == 1:
                blocks.remove()  # else the same command in another precision would find the blocks of another request
            if self.rank and not self.unfinished():  # process 0 has finished, and removed the folder
                return self.result([], 0, 0.0)
            raise
        seconds = time.monotonic() - started
        written = self.unfinished() if self.rank == 0 else []
        record = sampling_record(self.inferencer, self.request) if written else None
        for out in written:
            origin, names = self.origin_of(out), self.request.names
            images = ImageSet(self.shape, blocks.read, self.request.labels, origin, names, record)
            image_archives.write(out, images, self.columns)
        if self.rank == 0:
            blocks.remove()
        return self.result(written, total, seconds)

    def sample_missing(self, shown: bool) -> int:
        """Sample this process's share of the missing blocks; return the number of images in all of them."""
        missing = self.blocks.missing(self.blocks.indices)
        total, number = self.blocks.num_images(missing), self.request.num_images
        if shown and total < number:
            print(f'{self.blocks.folder} holds {number - total} of {number} images already', file=sys.stderr)
        with progress_bar('sampling', total, shown, 'images') as advance:
            report, patience = Report(self.blocks, missing, advance if shown else None), PATIENCE
            for index in (index for index in missing if index % self.world_size == self.rank):
                patience = max(patience, BLOCKS_OF_PATIENCE * self.sample_block(index))
                report()
            if self.rank == 0:
                wait_for_others(self.sample_block, report, patience)
        return total

    def sample_block(self, index: int) -> float:
        """Sample a block, and return how many seconds that took."""
        started = time.monotonic()
        images = self.inferencer.sample(self.request.rows(self.blocks.slice(index)), batches=self.batches).pixels
        self.blocks.write(index, images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        return time.monotonic() - started

    def result(self, written: list[Path], num_sampled: int, seconds: float) -> BulkSampling:
        """Return the result of this process."""
        nfe = self.inferencer.model.nfe(self.request.sampler, self.request.guidance)
        return BulkSampling(self.outs, written, num_sampled, seconds, nfe, self.request.num_images)


def _check_outs(outs: Sequence[Path], shape: tuple[int, int, int, int], columns: int | None) -> None:
    """Raise an InputError unless images (N, H, W, C) could be written to `outs`."""
    for out in outs:
        image_archives.check_path(out, shape)
    if columns is not None:
        check_count('columns', columns)
        if not any(map(image_archives.is_grid, outs)):
            raise InputError('columns are of a grid, and no output ends in .png. Leave them out.')


def _check_room(outs: Sequence[Path], blocks: ImageBlocks) -> None:
    """Raise an InputError unless there is room for `outs` and their missing blocks."""
    if not outs:
        return
    folder = blocks.folder.parent
    # The size of PNGs is not known in advance; they count as nothing.
    files = [out for out in outs if out.suffix.lower() == '.npz' and out.parent.stat().st_dev == folder.stat().st_dev]
    num_images = blocks.num_images(blocks.missing(blocks.indices)) + blocks.shape[0] * len(files)
    check_room(folder, math.prod(blocks.shape[1:]) * num_images)


def _check_unfinished(outs: Sequence[Path], blocks: ImageBlocks, request: dict, force: bool | None) -> None:
    """Raise an InputError unless `outs` can be made from `blocks`, and may be replaced if they exist."""
    for out in outs:
        origin = read_origin(out)
        if out.is_dir() and any(out.iterdir()) and not (force and origin):
            way = 'give --force to replace it, or another --out' if origin else 'name a new folder'
            raise InputError(f'{out} is not empty, and was not sampled from this request: {way}.')
        if force is False and os.path.lexists(out) and not out.is_dir():
            raise InputError(f'{out} exists, from another request: give --force to replace it, or another --out.')
    blocks.journal.check({**dict.fromkeys(OPTIONAL), **request}, blocks.journal.read())


def _agrees(found: Any, origin: Mapping[str, Any]) -> bool:
    return isinstance(found, dict) and all(found.get(key) == origin.get(key) for key in {*origin, *OPTIONAL})


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it, so that it equals what is read back."""
    return json.loads(json.dumps(value, default=lambda other: type(other).__name__))
