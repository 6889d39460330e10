"""Editing a picture with a model that is ready to draw."""
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from torch import Tensor

from mmcm.apis.drawing import check_out
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.editing import EditingOperator, editing_sampler
from mmcm.noise.generators import SampleNoise
from mmcm.samplers import Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.checks import check_count
from mmcm.utils.images import grid, to_pixels, write_picture
from mmcm.utils.progress import progress_bar

COLUMNS = 10  # of a sheet, at most


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
    """

    picture: Tensor
    known: Tensor
    candidates: Tensor
    labels: Optional[list[int]]
    seconds: float
    num_calls: int

    def sheet(self) -> np.ndarray:
        """Return the picture, what was known of it and the candidates side by side: (H, W, 3), uint8 RGB."""
        labels = [''] * len(self.candidates) if self.labels is None else map(str, self.labels)
        return grid([self.picture, self.known, *self.candidates], min(COLUMNS, 2 + len(self.candidates)),
                    captions=['picture', 'known', *labels])

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
        for name, image in images.items():
            write_picture(out / f'{name}.png', to_pixels(image))
        return [out / f'{name}.png' for name in images]


def edit(inferencer: ConsistencyModelInferencer,
         image: Tensor,
         operator: EditingOperator,
         labels: Any = None,
         num_candidates: int = 4,
         seed: Union[int, Sequence[int]] = 0,
         sampler: Optional[Sampler] = None,
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

        def draw(part: slice) -> Tensor:
            drawn = model.edit(image, operator, None if labels is None else labels[part], len(seeds[part]),
                               SampleNoise(seeds[part]), sampler, callback=lambda *_: advance())
            return model.data_preprocessor.destruct(drawn[0]).cpu()

        candidates = torch.cat(list(Batches(inferencer.batch_size).run(draw, num_candidates)))
    seconds = time.perf_counter() - started
    picture, known = (model.data_preprocessor.destruct(tensor[0]).cpu() for tensor in (image, known))
    return Edited(picture, known, candidates, labels, seconds, sampler.num_calls)
