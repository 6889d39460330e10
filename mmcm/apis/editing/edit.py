"""Editing a picture with a model that is ready to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcm.apis.editing.edit_result import Edited
from mmcm.apis.editing.images import Place, as_rgb, decoded, read_picture
from mmcm.apis.editing.tasks import NUM_CANDIDATES, TASKS, WHOLE, Task, WholeTask
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.request import SampleRequest
from mmcm.apis.steps import sampler_from
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.datasets.transforms.shorter_side import MAX_SIDE
from mmcm.models.sampling_loop import sample_in_batches
from mmcm.operators import EditingOperator, Tiles, editing_sampler
from mmcm.samplers import Callback, MultistepSampler, Sampler
from mmcm.utils.checks import as_list, check_choice, check_count, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given

Picture = Image.Image | np.ndarray | str | Path

REGIONS = ('whole', 'square')
MOST_CALLS = 20000  # network calls for a tile: some minutes of a small model on a CPU


@dataclass(frozen=True)
class Plan:
    """An edit whose arguments have proved to be in order. Nothing has been loaded or drawn yet.

    Attributes:
        inferencer (ConsistencyModelInferencer): The model.
        image, operator: See `edit`.
        known (Tensor): What `operator` knows of `image`, (1, C, H, W).
        request (SampleRequest): The candidates: their number, labels and seeds, and the sampler.
        shown, mask, place, tiles: See `mmcm.apis.editing.tasks.Task`.
        note (str): What part of the picture is edited, in words, and in how many tiles.
    """

    inferencer: ConsistencyModelInferencer
    image: Tensor
    operator: EditingOperator
    known: Tensor
    request: SampleRequest
    shown: Tensor | None = None
    mask: Tensor | None = None
    place: Place | None = None
    tiles: Tiles | None = None
    note: str = ''

    def draw(self, keep_steps: bool = False, progress: bool = False, callback: Callback | None = None) -> Edited:
        """Read the weights, unless that is done, and draw; see `edit`.

        Args:
            keep_steps, progress: See `edit`.
            callback (Callable, optional): Called in each step of each batch; see `Sampler`.
        """
        model, request = self.inferencer.load().model, self.request
        batch_size = request.batch_size if self.tiles is None else max(1, request.batch_size // len(self.tiles))

        def batch(part: slice, on_step: Callback) -> Tensor:
            labels, noise, _ = request.inputs(part)
            return model.edit(
                self.image,
                self.operator,
                labels,
                part.stop - part.start,
                noise,
                request.sampler,
                callback=on_step,
                tiles=self.tiles,
                batch_size=request.batch_size,
            )[0]

        samples = sample_in_batches(
            batch,
            request.num_images,
            batch_size,
            model.data_preprocessor.destruct,
            request.sampler.num_steps,
            callback,
            'editing' if progress else '',
            keep_steps=keep_steps,
        )
        shown = self.image if self.shown is None else self.shown
        known, mask = self.known, None
        if self.mask is not None:
            known, mask = (1 - self.mask) * known, (self.mask[0] * 255).round().to(torch.uint8)
        picture, known = (model.data_preprocessor.destruct(tensor[0]).cpu() for tensor in (shown, known))
        return Edited(
            picture,
            known,
            samples.pixels,
            request.labels,
            samples.seconds,
            request.sampler.nfe,
            samples.steps,
            mask,
            self.place,
            request.names,
            1 if self.tiles is None else len(self.tiles),
        )


def edit(
    inferencer: ConsistencyModelInferencer,
    image: Tensor,
    operator: EditingOperator,
    labels: Any = None,
    num_candidates: int = NUM_CANDIDATES,
    seed: int | Sequence[int] = 0,
    sampler: Sampler | None = None,
    keep_steps: bool = False,
    progress: bool = False,
) -> Edited:
    """Draw candidates that agree with `image` in what `operator` knows.

    On a GPU, a batch of them that does not fit the memory is halved.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        image (Tensor): The picture in [-1, 1], (1, C, H, W); `mmcm.apis.editing.tasks` makes it, and the operator.
        operator (EditingOperator): What is known.
        labels: The classes of the candidates, as in `ConsistencyModelInferencer.__call__`.
        num_candidates (int): How many results.
        seed (int | Sequence[int]): Seed of the results, or one for each, as in `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): How to draw; `editing_sampler` says what is the default.
        keep_steps (bool): Whether the result has the candidates after each step.
        progress (bool): Whether to show a progress bar on stderr.

    Raises:
        InputError: If the arguments do not fit the model; then nothing has been loaded or drawn. Or if not even one
            candidate fits the memory of a GPU.
    """
    return plan(inferencer, image, operator, labels, num_candidates, seed, sampler).draw(keep_steps, progress)


def plan(
    inferencer: ConsistencyModelInferencer,
    image: Tensor,
    operator: EditingOperator,
    labels: Any = None,
    num_candidates: int = NUM_CANDIDATES,
    seed: int | Sequence[int] = 0,
    sampler: Sampler | None = None,
    **further: Any,
) -> Plan:
    """Check what `edit` is given; `further` are the last attributes of a `Plan`."""
    check_count('num_candidates', num_candidates)
    check_given('the pictures to edit', image)
    sampler = sampler or editing_sampler(inferencer.sampler)
    request = inferencer.request(num_candidates, labels, seed, sampler=sampler)
    known = operator.to(image.device).degrade(image)
    return Plan(inferencer, image, operator, known, request, **further)


def edit_picture(
    inferencer: ConsistencyModelInferencer,
    task: str,
    img: Picture,
    labels: Any = None,
    num_candidates: int | None = None,
    seed: int | Sequence[int] = 0,
    num_steps: int | None = None,
    sigmas: Sequence[float] | None = None,
    keep_steps: bool = False,
    progress: bool = False,
    region: str | None = None,
    side: int | None = None,
    max_calls: int = MOST_CALLS,
    **options: Any,
) -> Edited:
    """Edit a picture as a user has it, of any format and size.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        task (str): One of `mmcm.apis.editing.tasks.TASKS`: 'inpaint', 'uncrop', 'colorize', 'super-resolve', 'deblur',
            'stroke', 'variations' or 'denoise'.
        img (Image | ndarray | str | Path): The picture: Pillow's, pixels (H, W, 3), (H, W, 4) with transparency or
            (H, W), uint8 RGB, or a file.
        labels, seed, keep_steps, progress: See `edit`.
        num_candidates (int, optional): How many results; by default 4, and 1 for 'denoise'.
        num_steps (int, optional): Number of steps, at the levels that the model was trained with.
        sigmas (Sequence[float] | float, optional): The noise levels, descending; for 'stroke' and 'variations', the
            first one says how much noise covers the picture.
        region (str, optional): 'whole', the whole picture in overlapping tiles, of `inpaint` those around the mask; or
            'square', its central square, scaled to the model's size. By default the whole picture, for the tasks of
            `mmcm.apis.editing.tasks.WHOLE` and unless that takes more than `max_calls`.
        side (int, optional): Shorter side in pixels that a whole picture is scaled to, for 'inpaint' and 'colorize'.
        max_calls (int): Calls of the network for a tile that a whole picture may take, over all candidates.
        options: What the task takes: `mask` (a picture), `resize_mask`, `factor`, `share`, `kernel`, `sigma`; see
            `mmcm.apis.editing.tasks`.

    Raises:
        InputError: If there is no such task, or the arguments do not fit it or the model; then nothing has been loaded
            or drawn. Or if not even one candidate fits the memory of a GPU.
    """
    planned = plan_picture(
        inferencer, task, img, labels, num_candidates, seed, num_steps, sigmas, region, side, max_calls, **options
    )
    return planned.draw(keep_steps, progress)


def plan_picture(
    inferencer: ConsistencyModelInferencer,
    task: str,
    img: Picture,
    labels: Any = None,
    num_candidates: int | None = None,
    seed: int | Sequence[int] = 0,
    num_steps: int | None = None,
    sigmas: Sequence[float] | None = None,
    region: str | None = None,
    side: int | None = None,
    max_calls: int = MOST_CALLS,
    **options: Any,
) -> Plan:
    """Check what `edit_picture` is given, and read the pictures."""
    check_choice('task', task, list(TASKS))
    _, _, *known = signature(TASKS[task]).parameters.values()
    needed = {parameter.name for parameter in known if parameter.default is Parameter.empty}
    if not needed <= set(options) <= {parameter.name for parameter in known}:
        names = ', '.join(parameter.name for parameter in known)
        raise InputError(f'{task} takes {names or "no further arguments"}, got {", ".join(options) or "none"}.')
    check_region(task, region, side, inferencer.model.image_shape[-1])
    check_count('max_calls', max_calls)
    picture = as_picture(img, background=None)
    if 'mask' in options:
        # Of a mask that was painted on a transparent ground, only the paint counts.
        options['mask'] = as_picture(options['mask'], background='black')
    shape = inferencer.model.image_shape
    whole = None
    if region != 'square' and task in WHOLE:
        whole = WHOLE[task](picture, shape, side, **options)
    if whole is not None:
        sampler = sampler_for(inferencer, task, whole, num_steps, sigmas)
        count = whole.num_candidates if num_candidates is None else num_candidates
        check_count('num_candidates', count)
        num_calls = whole.num_tiles * (sampler or editing_sampler(inferencer.sampler)).nfe * count
        if num_calls <= max_calls:
            made = whole.make()
            height, width = made.tiles.shape
            note = (
                f'{"what is around the mask" if task == "inpaint" else "the whole picture"} at {width} x {height} '
                f'pixels in {whole.num_tiles} tile{"s" * (whole.num_tiles > 1)} of {shape[2]} x {shape[1]}, '
                f'{num_calls} network calls'
            )
            place = made.place if made.place is None or not made.place.fills(height, width) else None
            return plan(
                inferencer,
                made.image,
                made.operator,
                labels,
                count,
                seed,
                sampler,
                shown=made.shown,
                mask=made.mask,
                place=place,
                tiles=made.tiles,
                note=note,
            )
        too_many = (
            f'the whole picture takes {num_calls} network calls, {whole.num_tiles} tiles for each of {count} '
            f'candidates, and max_calls (--max-calls) is {max_calls}'
        )
        if region == 'whole' or task == 'super-resolve':  # a small square is no enlargement
            raise InputError(
                f'{too_many}: raise it, take fewer steps or candidates, a smaller picture, or --region square.'
            )
    done = TASKS[task](picture, shape, **options)
    sampler = sampler_for(inferencer, task, done, num_steps, sigmas)
    if num_candidates is None:
        num_candidates = done.num_candidates
    place = None if picture.size == tuple(done.image.shape[:1:-1]) else done.place
    note = f'the central square of {picture.width} x {picture.height} pixels at {shape[2]} x {shape[1]}'
    if whole is not None:
        note += f' ({too_many})'
    return plan(
        inferencer,
        done.image,
        done.operator,
        labels,
        num_candidates,
        seed,
        sampler,
        shown=done.shown,
        mask=done.mask,
        place=place,
        note=note,
    )


def check_region(task: str, region: str | None, side: int | None, size: int) -> None:
    """Raise an InputError unless `task` can edit such a region with a model of `size` pixels; see `edit_picture`."""
    if region is not None:
        check_choice('region', region, REGIONS)
    if region == 'whole' and task not in WHOLE:
        raise InputError(f'{task} sees the central square of a picture; the region whole is for {", ".join(WHOLE)}.')
    if side is not None:
        check_count('side', side, least=size, most=MAX_SIDE)
        if region == 'square' or task not in WHOLE:
            raise InputError(f'a side is for whole pictures, in {", ".join(WHOLE)}: leave it out.')


def sampler_for(
    inferencer: ConsistencyModelInferencer,
    task: str,
    done: Task | WholeTask,
    num_steps: int | None,
    sigmas: Sequence[float] | None,
) -> Sampler | None:
    """Return the sampler of a request, None for that of `editing_sampler`; see `edit_picture`."""
    if sigmas is not None:
        sigmas = as_list('sigmas', sigmas) if has_length(sigmas) else [sigmas]
        if done.starts_at is not None and sigmas[:1] != [done.starts_at]:
            raise InputError(
                f'{task} starts at sigma {done.starts_at}, that of the noise in the picture, so sigmas '
                f'have to begin with it, got {sigmas}.'
            )
    if done.sigmas is not None:
        if sigmas is None:  # samplers that have levels of their own are told only where to begin
            sigmas = done.sigmas if isinstance(inferencer.sampler, MultistepSampler) else done.sigmas[:1]
        return sampler_from(inferencer.sampler_config, sigmas, num_steps)
    if num_steps is None and sigmas is None:
        return None
    return inferencer.choose_sampler(num_steps, sigmas=sigmas)


def as_picture(img: Picture, background: str | None = DEFAULT_BACKGROUND) -> Image.Image:
    """Return a picture as Pillow has it, of mode RGB or RGBA; see `read_picture`, also for `background`."""
    if isinstance(img, (str, Path)):
        return read_picture(img, background)
    if isinstance(img, np.ndarray):
        if img.dtype != np.uint8 or not (img.ndim == 2 or (img.ndim == 3 and img.shape[2] in (3, 4))) or not img.size:
            raise InputError(
                'a picture has pixels (H, W, 3), (H, W, 4) or (H, W), uint8 from 0 to 255, got '
                f'{img.shape}, {img.dtype}.'
            )
        img = Image.fromarray(img)
    if not isinstance(img, Image.Image):
        raise InputError(f"a picture is a file, one of Pillow's or an array of pixels, got {type(img).__name__}.")
    return decoded(img, lambda image: as_rgb(image, background))
