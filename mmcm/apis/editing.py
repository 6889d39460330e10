"""Editing a picture with a model that is ready to draw."""
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcm.apis.drawing import check_out
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.steps import sampler_from
from mmcm.editing import EditingOperator, editing_sampler
from mmcm.editing.pictures import as_rgb, paste_back, read_picture
from mmcm.editing.tasks import TASKS
from mmcm.noise.generators import SampleNoise
from mmcm.samplers import Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.images import grid, to_pixels, write_picture
from mmcm.utils.progress import progress_bar

COLUMNS = 10  # of a sheet, at most

Picture = Union[Image.Image, np.ndarray, str, Path]


@dataclass(frozen=True)
class Edited:
    """What became of a picture; images are uint8 RGB on the CPU.

    Attributes:
        picture (Tensor): The picture at the model's size, (C, H, W).
        known (Tensor): What was known of it, (C, H, W).
        candidates (Tensor): The results, (K, C, H, W).
        labels (list[int], optional): The class of each candidate; None for unconditional models.
        seconds (float): How long the drawing took, loading not counted.
        num_calls (int): Network calls per candidate.
        steps (Tensor, optional): Each candidate after each step, (K, S, C, H, W), if that was asked for.
        pasted (list[Image], optional): The picture at its own size with each candidate in it, where that makes sense.
    """

    picture: Tensor
    known: Tensor
    candidates: Tensor
    labels: Optional[list[int]]
    seconds: float
    num_calls: int
    steps: Optional[Tensor] = None
    pasted: Optional[list[Image.Image]] = None

    def sheet(self) -> np.ndarray:
        """Return the picture, what was known of it and the candidates side by side: (H, W, 3), uint8 RGB."""
        labels = [''] * len(self.candidates) if self.labels is None else map(str, self.labels)
        return grid([self.picture, self.known, *self.candidates], min(COLUMNS, 2 + len(self.candidates)),
                    captions=['picture', 'known', *labels])

    def sheet_of_steps(self) -> np.ndarray:
        """Return how the candidates came about, one in a row: (H, W, 3), uint8 RGB."""
        return grid(self.steps.flatten(0, 1), self.steps.shape[1])

    def save(self, out: Union[str, Path]) -> list[Path]:
        """Write the sheet to a file (`out` has a suffix), or its images one by one into a folder; return the paths."""
        out = Path(out)
        if check_out(out):
            write_picture(out, self.sheet())
            return [out]
        images = dict(picture=self.picture, known=self.known)
        for index, candidate in enumerate(self.candidates):
            label = '' if self.labels is None else f'_label{self.labels[index]}'
            images[f'candidate_{index:03d}{label}'] = candidate
        pixels = {name: to_pixels(image) for name, image in images.items()}
        for index, picture in enumerate(self.pasted or ()):
            pixels[f'full_size_{index:03d}'] = np.asarray(picture)
        for name, image in pixels.items():
            write_picture(out / f'{name}.png', image)
        return [out / f'{name}.png' for name in pixels]


def edit(inferencer: ConsistencyModelInferencer,
         image: Tensor,
         operator: EditingOperator,
         labels: Any = None,
         num_candidates: int = 4,
         seed: Union[int, Sequence[int]] = 0,
         sampler: Optional[Sampler] = None,
         keep_steps: bool = False,
         progress: bool = False) -> Edited:
    """Draw candidates that agree with `image` in what `operator` knows.

    On a GPU, a batch of them that does not fit the memory is halved.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        image (Tensor): The picture in [-1, 1], (1, C, H, W); `mmcm.editing.tasks` makes it, and the operator.
        operator (EditingOperator): What is known.
        labels: The classes of the candidates, as in `ConsistencyModelInferencer.__call__`.
        num_candidates (int): How many results.
        seed (int | Sequence[int]): Seed of the results, or one for each, as in `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): How to draw; `editing_sampler` says what is the default.
        keep_steps (bool): Whether the result has the candidates after each step.
        progress (bool): Whether to show a progress bar on stderr.

    Raises:
        InputError: If the arguments do not fit the model; then nothing has been loaded or drawn.
    """
    check_count('num_candidates', num_candidates)
    sampler = sampler or editing_sampler(inferencer.sampler)
    seeds = inferencer.choose_seeds(seed, num_candidates)
    labels = inferencer.choose_labels(labels, num_candidates, seed if isinstance(seed, Integral) else 0)
    known = operator.to(image.device).degrade(image)
    model = inferencer.load().model

    steps = math.ceil(num_candidates / inferencer.batch_size) * sampler.num_steps
    started = time.perf_counter()
    with progress_bar('editing', steps, shown=progress) as advance:

        def draw(part: slice) -> tuple[Tensor, Optional[Tensor]]:
            estimates = []

            def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
                advance()
                if keep_steps:
                    estimates.append(model.data_preprocessor.destruct(x0).cpu())

            drawn = model.edit(image, operator, None if labels is None else labels[part], len(seeds[part]),
                               SampleNoise(seeds[part]), sampler, callback=on_step)
            return model.data_preprocessor.destruct(drawn[0]).cpu(), torch.stack(estimates, 1) if keep_steps else None

        batches = list(Batches(inferencer.batch_size).run(draw, num_candidates))
    seconds = time.perf_counter() - started
    candidates, estimates = zip(*batches)
    picture, known = (model.data_preprocessor.destruct(tensor[0]).cpu() for tensor in (image, known))
    return Edited(picture, known, torch.cat(candidates), labels, seconds, sampler.num_calls,
                  torch.cat(estimates) if keep_steps else None)


def edit_picture(inferencer: ConsistencyModelInferencer,
                 task: str,
                 img: Picture,
                 labels: Any = None,
                 num_candidates: int = 4,
                 seed: Union[int, Sequence[int]] = 0,
                 num_steps: Optional[int] = None,
                 sigmas: Optional[Sequence[float]] = None,
                 keep_steps: bool = False,
                 progress: bool = False,
                 **options: Any) -> Edited:
    """Edit a picture as a user has it, of any format and size.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        task (str): One of `mmcm.editing.tasks.TASKS`: 'inpaint', 'uncrop', 'colorize', 'super-resolve', 'deblur',
            'stroke', 'variations' or 'denoise'.
        img (Image | ndarray | str | Path): The picture: Pillow's, pixels (H, W, 3) or (H, W), uint8 RGB, or a file.
        labels, num_candidates, seed, keep_steps, progress: See `edit`.
        num_steps (int, optional): Number of steps, at the levels that the model was trained with.
        sigmas (Sequence[float], optional): The noise levels, descending; for 'stroke' and 'variations', the first one
            says how much noise covers the picture.
        options: What the task takes: `mask` (a picture), `factor`, `share`, `kernel`, `sigma`.

    Raises:
        InputError: If there is no such task, or the arguments do not fit it or the model; then nothing has been loaded
            or drawn.
    """
    if task not in TASKS:
        raise InputError(f'task has to be one of {", ".join(TASKS)}, got {task!r}.')
    _, _, *known = signature(TASKS[task]).parameters
    if set(options) != set(known):
        raise InputError(f'{task} takes {", ".join(known) or "no further arguments"}, got '
                         f'{", ".join(options) or "none"}.')
    picture = as_picture(img)
    if 'mask' in options:
        # Of a mask that was painted on a transparent ground, only the paint counts.
        options['mask'] = as_picture(options['mask'], background='black')
    image, operator, levels, full_size, shown = TASKS[task](picture, inferencer.model.image_shape, **options)
    if levels is not None:
        sampler = sampler_from(inferencer.sampler_config, levels if sigmas is None else sigmas, num_steps)
    elif num_steps is None and sigmas is None:
        sampler = None
    else:
        sampler = inferencer.choose_sampler(num_steps, sigmas=sigmas)
    edited = edit(inferencer, image, operator, labels, num_candidates, seed, sampler, keep_steps, progress)
    if shown is not None:
        edited = replace(edited, picture=inferencer.model.data_preprocessor.destruct(shown[0]))
    if full_size is None or picture.size == tuple(image.shape[:1:-1]):
        return edited
    return replace(edited, pasted=[paste_back(picture, to_pixels(result), full_size) for result in edited.candidates])


def as_picture(img: Picture, background: str = 'white') -> Image.Image:
    """Return a picture as Pillow has it, of mode RGB; see `read_picture` for files and for `background`."""
    if isinstance(img, (str, Path)):
        return read_picture(img, background)
    if isinstance(img, np.ndarray):
        if img.dtype != np.uint8 or not (img.ndim == 2 or img.ndim == 3 and img.shape[2] in (3, 4)) or not img.size:
            raise InputError(f'a picture has pixels (H, W, 3) or (H, W), uint8, got {img.shape}, {img.dtype}.')
        img = Image.fromarray(img)
    return as_rgb(img, background)
