"""`Plan`: an edit whose request has been checked against the model, and running it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmcm.apis.editing.edit_result import EditResult
from mmcm.apis.editing.images import ImageLike, Place, open_image
from mmcm.apis.editing.request import EditRequest, EditTask, Inpaint
from mmcm.apis.editing.tasks import opened, square, whole
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.provenance import pixels_digest, sampling_record, task_settings
from mmcm.apis.request import SampleRequest
from mmcm.apis.steps import sampler_from
from mmcm.datasets.transforms.shorter_side import MAX_SIDE
from mmcm.models.editing import check_pixels, editing_sampler
from mmcm.models.sampling_loop import sample_in_batches
from mmcm.operators import EditingOperator, Inpainting, Tiles
from mmcm.renamed import renamed_member
from mmcm.samplers import Callback, FlowMapSampler, MultistepSampler, Sampler
from mmcm.utils.checks import as_list, check_count, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given


@dataclass(frozen=True)
class Plan:
    """An edit that has been checked. No weights have been read, and nothing has been sampled.

    Attributes:
        inferencer (ConsistencyModelInferencer): The model.
        shown (Tensor): The image that the user gave, as the model sees it, (1, C, H, W) in [-1, 1].
        known (Tensor): What `operator` knows of it, (1, C, H, W).
        operator (EditingOperator): What is known.
        request (SampleRequest): The candidates: their number, labels and seeds, and the sampler.
        task (EditTask, optional): The task; None where the user gave tensors.
        place (Place, optional): Where the results belong in the user's image.
        tiles (Tiles, optional): In which the image is edited, where it is of another size than the model's.
        note (str): What part of the image is edited, in words, and in how many tiles.
    """

    inferencer: ConsistencyModelInferencer
    shown: Tensor
    known: Tensor
    operator: EditingOperator
    request: SampleRequest
    task: EditTask | None = None
    place: Place | None = None
    tiles: Tiles | None = None
    note: str = ''

    @property
    def mask(self) -> Tensor | None:
        """The mask that users see, (1, 1, H, W) in [0, 1]: that of a task, 1 in what is edited."""
        return self.operator.mask if self.task is not None and isinstance(self.operator, Inpainting) else None

    def run(self, keep_steps: bool = False, progress: bool = False, callback: Callback | None = None) -> EditResult:
        """Read the weights, unless that is done, and sample the candidates; see `edit`.

        Args:
            keep_steps (bool): See `edit`.
            progress (bool): See `edit`.
            callback (Callable, optional): Called in each step of each batch; see `Sampler`.
        """
        model, request = self.inferencer.load().model, self.request
        batch_size = request.batch_size if self.tiles is None else max(1, request.batch_size // len(self.tiles))

        def batch(part: slice, on_step: Callback) -> Tensor:
            labels, noise, _ = request.inputs(part)
            return model.edit(
                self.known,
                self.operator,
                labels,
                part.stop - part.start,
                noise,
                request.sampler,
                callback=on_step,
                tiles=self.tiles,
                batch_size=request.batch_size,
                degraded=True,
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
        known = self.known if self.mask is None else (1 - self.mask) * self.known  # as grey as the mask is white
        image, known = (model.data_preprocessor.destruct(tensor[0]).cpu() for tensor in (self.shown, known))
        return EditResult(
            image,
            known,
            samples.pixels,
            request.labels,
            samples.seconds,
            model.nfe(request.sampler),
            samples.steps,
            None if self.mask is None else (self.mask[0] * 255).round().to(torch.uint8),
            self.place,
            request.names,
            1 if self.tiles is None else len(self.tiles),
            partial(
                sampling_record,
                self.inferencer,
                request,
                'edit',
                task=task_settings(self.task),
                image=pixels_digest(image),
            ),
        )

    draw = renamed_member('draw', 'run')


def edit(
    inferencer: ConsistencyModelInferencer,
    image: Tensor,
    operator: EditingOperator,
    *arguments: Any,
    keep_steps: bool = False,
    progress: bool = False,
    **options: Any,
) -> EditResult:
    """Sample candidates that agree with `image` in what `operator` knows.

    On a GPU, a batch of them that does not fit the memory is halved.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        image (Tensor): The image in [-1, 1], (1, C, H, W).
        operator (EditingOperator): What is known.
        *arguments: `labels`, `num_candidates`, `seed` and `sampler`; see `plan`.
        keep_steps (bool): Whether the result has the candidates after each step.
        progress (bool): Whether to show a progress bar on stderr.
        **options: The same by their names.

    Raises:
        InputError: If the arguments do not fit the model; then no weights have been read. Or if not even one candidate
            fits the memory of a GPU.
    """
    return plan(inferencer, image, operator, *arguments, **options).run(keep_steps, progress)


def edit_picture(
    inferencer: ConsistencyModelInferencer,
    task: str,
    img: ImageLike,
    *common: Any,
    keep_steps: bool = False,
    progress: bool = False,
    **arguments: Any,
) -> EditResult:
    """Edit a user's image, of any format and size.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        task (str): One of `mmcm.apis.editing.TASKS`: 'inpaint', 'uncrop', 'colorize', 'super-resolve', 'deblur',
            'stroke', 'variations' or 'denoise'.
        img (Image | ndarray | str | Path): The image: Pillow's, pixels (H, W, 3), (H, W, 4) or (H, W), or a file.
        *common: The arguments of all tasks in the order of `EditRequest`: `labels`, `num_candidates`, `seed`,
            `num_steps`, `sigmas`, `region`, `side`, `max_calls`.
        keep_steps (bool): Whether the result has the candidates after each step.
        progress (bool): Whether to show a progress bar on stderr.
        **arguments: The same by their names, and the arguments of the task, such as `mask`, an image like `img`; the
            class of the task in `mmcm.apis.editing.request` declares them.

    Raises:
        InputError: If there is no such task, or the arguments do not fit it or the model; then no weights have been
            read. Or if not even one candidate fits the memory of a GPU.
    """
    return plan_picture(inferencer, task, img, *common, **arguments).run(keep_steps, progress)


def plan_picture(
    inferencer: ConsistencyModelInferencer, task: str, img: ImageLike, *common: Any, **arguments: Any
) -> Plan:
    """Check the arguments of `edit_picture`, and read the images; arguments as in `EditRequest.of`."""
    return plan_request(inferencer, EditRequest.of(task, img, *common, **arguments))


def plan_request(inferencer: ConsistencyModelInferencer, request: EditRequest) -> Plan:
    """Check `request` against the model, and read its images.

    Raises:
        InputError: If it does not fit the model.
    """
    check_pixels(inferencer.model)
    shape = inferencer.model.image_shape
    _, height, width = shape
    if request.side is not None:
        check_count('side', request.side, least=min(height, width), most=MAX_SIDE)
    image, task = open_image(request.img, background=None), opened(request.task)
    count = task.num_candidates if request.num_candidates is None else request.num_candidates
    found = None if request.region == 'square' else whole(task, image, shape, request.side)
    sampler = sampler_of(inferencer, request)
    num_calls = 0 if found is None else found.num_tiles * inferencer.model.nfe(sampler) * count
    if found is not None and num_calls <= request.max_calls:
        prepared, tiles = found.prepare(), found.num_tiles
        high, wide = prepared.image.shape[2:]
        is_image = prepared.place is not None and prepared.place.fills(high, wide)
        note = (
            f'{"what is around the mask" if isinstance(task, Inpaint) else "the whole image"} at {wide} x {high} '
            f'pixels in {tiles} tile{"s" * (tiles > 1)} of {width} x {height}, {num_calls} network evaluations'
        )
    else:
        too_many = '' if found is None else too_many_calls(request, num_calls, found.num_tiles, count)
        prepared, is_image = square(task, image, shape), image.size == (width, height)
        part = 'square' if height == width else 'part'
        note = f'the central {part} of {image.width} x {image.height} pixels at {width} x {height}{too_many}'
    return plan(
        inferencer,
        prepared.image,
        prepared.operator,
        request.labels,
        count,
        request.seed,
        sampler,
        shown=prepared.shown,
        task=task,
        place=None if is_image else prepared.place,  # a result that is the image already needs none
        tiles=prepared.tiles,
        note=note,
    )


def too_many_calls(request: EditRequest, num_calls: int, num_tiles: int, num_candidates: int) -> str:
    """Return, in parentheses, why the whole image is not edited; an InputError where the square cannot replace it."""
    reason = (
        f'the whole image takes {num_calls} network evaluations, {num_tiles} tiles for each of {num_candidates} '
        f'candidates, and max_calls (--max-calls) is {request.max_calls}'
    )
    if request.region == 'whole' or not request.task.falls_back:
        raise InputError(f'{reason}: raise it, take fewer steps or candidates, a smaller image, or --region square.')
    return f' ({reason})'


def plan(
    inferencer: ConsistencyModelInferencer,
    image: Tensor,
    operator: EditingOperator,
    labels: Any = None,
    num_candidates: int = EditTask.num_candidates,
    seed: int | Sequence[int] = 0,
    sampler: Sampler | None = None,
    shown: Tensor | None = None,
    **further: Any,
) -> Plan:
    """Check an edit of tensors.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        image (Tensor): The image in [-1, 1], (1, C, H, W).
        operator (EditingOperator): What is known.
        labels: The classes of the candidates, as in `ConsistencyModelInferencer.__call__`.
        num_candidates (int): How many results.
        seed (int | Sequence[int]): Seed of the results, or one for each, as in `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): How to sample; by default see `editing_sampler`.
        shown (Tensor, optional): What the user gave, where that is not `image`.
        **further: The last attributes of `Plan`.

    Raises:
        InputError: If labels, seeds or operator do not fit the model.
    """
    check_count('num_candidates', num_candidates)
    check_given('the images to edit', image)
    sampler = sampler or editing_sampler(inferencer.sampler)
    request = inferencer.request(num_candidates, labels, seed, sampler=sampler)
    known = operator.to(image.device).degrade(image)
    return Plan(inferencer, image if shown is None else shown, known, operator, request, **further)


def sampler_of(inferencer: ConsistencyModelInferencer, request: EditRequest) -> Sampler:
    """Return the sampler of `request`: its steps or levels, else those of the task, else `editing_sampler`."""
    task, num_steps, sigmas = request.task, request.num_steps, request.sigmas
    if sigmas is not None:
        sigmas = as_list('sigmas', sigmas if has_length(sigmas) else [sigmas])
        if task.starts_at is not None and sigmas[:1] != [task.starts_at]:
            raise InputError(
                f'{task.name} starts at sigma {task.starts_at}, that of the noise in the image, so sigmas '
                f'have to begin with it, got {sigmas}.'
            )
    if task.sigmas is not None:
        if sigmas is None:  # samplers that have levels of their own take only the first one
            free = isinstance(inferencer.sampler, (MultistepSampler, FlowMapSampler))
            sigmas = list(task.sigmas) if free else list(task.sigmas[:1])
        return sampler_from(inferencer.sampler_config, sigmas, num_steps)
    if num_steps is None and sigmas is None:
        return editing_sampler(inferencer.sampler)
    return inferencer.choose_sampler(num_steps, sigmas=sigmas)
