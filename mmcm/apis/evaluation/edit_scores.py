"""How well a model edits: pictures are taken to pieces, edited, and compared with what they were.

The file of scores is JSON, with

- `format`: 1, the number of this description;
- `model`, `checkpoint`, `weights`: as they were given, and SHA-256 of names and values of the weights that drew;
- `images`: the `fingerprint` of the data set, and the `items` of it that were edited;
- `sampler`, `network_calls`: its settings, and calls per candidate; `num_candidates` per picture; `seed`;
- `versions` of mmcm and torch; `device`;
- `edits`: for each edit, the `seconds` that drawing took and its `results`: for each way to edit, `psnr`, `pooled_psnr`
  (both in dB) and `ssim`, each with the `mean` over the pictures and its `standard_error`.

The mean of the PSNR counts decibels: flat pictures, which are easy, count the most. The pooled PSNR is that of the mean
squared error over all pictures (and, for 'candidate', over all candidates): those with much detail count the most.

The standard errors are those of independent pictures. Patches of one photograph are alike, and so a mean over them is
less certain than these say.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcm.apis.evaluation.scores import plain
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.checkpoints.weights import digest
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.evaluation.edit_baselines import Edit
from mmcm.evaluation.similarity import Similarity, as_psnr, psnr, similarity
from mmcm.models.editing import editing_sampler
from mmcm.noise.generators import SampleNoise
from mmcm.operators import Inpainting
from mmcm.samplers import Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__
from mmcm.visualization.grids import named_grid

FORMAT = 1
CANDIDATE, MEAN, BEST = 'candidate', 'mean of candidates', 'best candidate'  # ways to edit with a model
SHOWN = 3  # candidates of a picture on a sheet
SHEET_SIDE = 96  # pixels of a picture on a sheet, at least


@dataclass(frozen=True)
class EditScores:
    """What a model and the baselines made of pictures, and how close that comes to them; images are uint8, on the CPU.

    Attributes:
        pictures (Tensor): As they were, (N, C, H, W).
        known (Tensor): What was known of them, (N, C, H, W).
        candidates (Tensor): What the model made of it, (N, K, C, H, W).
        mean (Tensor): The mean of the candidates, rounded, (N, C, H, W): an estimate of the posterior mean, whose
            squared error is the least in expectation, and which is blurred.
        filled (dict[str, Tensor]): What each baseline made of it, by its name, (N, C, H, W).
        results (dict[str, Similarity]): How close these come, by the names of the baselines and, for the model,
            'candidate', the mean over the candidates of a picture, 'mean of candidates', and 'best candidate', the one
            that comes closest by PSNR: to find it takes the picture itself.
        seconds (float): How long the drawing took, loading not counted.
        num_calls (int): Network calls per candidate.
    """

    pictures: Tensor
    known: Tensor
    candidates: Tensor
    mean: Tensor
    filled: dict[str, Tensor]
    results: dict[str, Similarity]
    seconds: float
    num_calls: int

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return means and standard errors over the pictures, by way to edit and measure, as in the file of scores."""
        return {
            way: dict(
                psnr=mean_and_error(result.psnr),
                pooled_psnr=pooled_psnr(result.squared_error),
                ssim=mean_and_error(result.ssim),
            )
            for way, result in self.results.items()
        }

    def sheet(self, indices: Sequence[int], baseline: str) -> np.ndarray:
        """Return pictures in rows: as they were, what was known, a baseline, candidates and their mean, each with PSNR.

        Args:
            indices (Sequence[int]): Which pictures.
            baseline (str): The name of one.

        Returns:
            ndarray: (H, W, 3), uint8 RGB.
        """
        shown = min(SHOWN, self.candidates.shape[1])
        columns = {
            'picture': self.pictures,
            'known': self.known,
            baseline: self.filled[baseline],
            **{f'candidate {k + 1}': self.candidates[:, k] for k in range(shown)},
            f'mean of {self.candidates.shape[1]}': self.mean,
        }
        rows = [[images[index] for images in columns.values()] for index in indices]
        captions = [
            text
            for row in rows
            for text in ['', *(f'{psnr(image[None], row[0][None]).item():.1f} dB' for image in row[1:])]
        ]
        return named_grid(rows, [str(index) for index in indices], list(columns), SHEET_SIDE, captions)


def score_edit(
    inferencer: ConsistencyModelInferencer,
    pictures: Tensor,
    edit: Edit,
    labels: Any = None,
    num_candidates: int = 8,
    seed: int = 0,
    sampler: Sampler | None = None,
    progress: bool = False,
) -> EditScores:
    """Take pictures to pieces, edit them with a model and with the baselines, and compare the results with them.

    Results depend on the seed, the number of pictures and of candidates, and not on how they are cut into batches (up
    to the rounding of the arithmetic).

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        pictures (Tensor): uint8, (N, C, H, W), of the model's size.
        edit (Edit): What is known of them, and the baselines.
        labels (Sequence[int], optional): The class of each picture (N); 'random' or 'balanced' are possible, too. For
            models of classes.
        num_candidates (int): Different results per picture, K.
        seed (int): Of all results, as in `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): How to draw; `editing_sampler` says what is the default.
        progress (bool): Whether to show a progress bar on stderr.

    Raises:
        InputError: If the arguments do not fit the model; then nothing has been loaded or drawn.
    """
    check_count('num_candidates', num_candidates)
    sampler = sampler or editing_sampler(inferencer.sampler)
    known, filled = fill_without_model(inferencer, pictures, edit)
    total = len(pictures) * num_candidates
    seeds = inferencer.choose_seeds(seed, total)
    if labels is not None and not isinstance(labels, str):
        labels = np.repeat(np.asarray(labels), num_candidates).tolist()
    labels = inferencer.choose_labels(labels, total, seed)
    model = inferencer.load().model
    owner = torch.arange(len(pictures), device='cpu').repeat_interleave(num_candidates)  # the picture of each candidate

    size = inferencer.batch_size
    started = time.perf_counter()
    with progress_bar('editing', math.ceil(total / size) * sampler.num_steps, shown=progress) as advance:

        def draw(part: slice) -> Tensor:
            images, classes = as_images(pictures[owner[part]]), None if labels is None else labels[part]
            drawn = model.edit(
                images, edit.operator, classes, 1, SampleNoise(seeds[part]), sampler, callback=lambda *state: advance()
            )
            return model.data_preprocessor.destruct(drawn[:, 0]).cpu()

        candidates = torch.cat(list(Batches(size).run(draw, total)))
    seconds = time.perf_counter() - started
    single = compare(candidates, pictures[owner], size)
    single = Similarity(*(values.unflatten(0, (-1, num_candidates)) for values in single))
    candidates = candidates.unflatten(0, (-1, num_candidates))
    mean = candidates.mean(1, dtype=torch.float64).round().to(torch.uint8)
    best = single.psnr.argmax(1, keepdim=True)
    results = {
        **{way: compare(images, pictures, size) for way, images in filled.items()},
        CANDIDATE: Similarity(*(values.mean(1) for values in single)),
        MEAN: compare(mean, pictures, size),
        BEST: Similarity(*(values.gather(1, best)[:, 0] for values in single)),
    }
    return EditScores(pictures, known, candidates, mean, filled, results, seconds, sampler.num_calls)


def fill_without_model(
    inferencer: ConsistencyModelInferencer, pictures: Tensor, edit: Edit
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what is known of `pictures` (N, C, H, W), uint8, and what each baseline makes of it, likewise.

    Raises:
        InputError: If pictures, model and operator do not fit each other.
    """
    shape = inferencer.model.image_shape
    if pictures.ndim != 4 or pictures.shape[1:] != shape or pictures.dtype != torch.uint8 or not len(pictures):
        raise InputError(
            f'the pictures have to be uint8, (N, {", ".join(map(str, shape))}), as the model draws them, '
            f'got {pictures.dtype}, {tuple(pictures.shape)}: take others, or another model.'
        )
    if isinstance(edit.operator, Inpainting) and len(edit.operator.mask) != 1:
        raise InputError(f'one mask for all pictures is needed, got {len(edit.operator.mask)}.')
    similarity(pictures[:1], pictures[:1])  # an InputError if they are too small for it
    destruct = inferencer.model.data_preprocessor.destruct
    known = edit.operator.degrade(as_images(pictures))
    return destruct(known), {name: destruct(fill(known)) for name, fill in edit.baselines.items()}


def compare(images: Tensor, references: Tensor, batch_size: int) -> Similarity:
    """Return the similarity of `images` and `references`, both (N, C, H, W), in batches that need little memory."""
    parts = [similarity(*pair) for pair in zip(images.split(batch_size), references.split(batch_size))]
    return Similarity(*map(torch.cat, zip(*parts)))


def as_images(pictures: Tensor) -> Tensor:
    """Return uint8 `pictures` as images in [-1, 1]."""
    return pictures.float() / 127.5 - 1


def mean_and_error(values: Tensor) -> dict[str, float]:
    """Return the mean of `values` (N,) and its standard error, as of independent ones; NaN for a single one."""
    error = values.std() / len(values) ** 0.5 if len(values) > 1 else math.nan
    return dict(mean=float(values.mean()), standard_error=float(error))


def pooled_psnr(squared_errors: Tensor) -> dict[str, float]:
    """Return the PSNR of the mean of squared errors (N,), and its standard error, in dB."""
    mean, error = mean_and_error(squared_errors).values()
    psnr_of_mean = float(as_psnr(squared_errors.mean()))
    return dict(mean=psnr_of_mean, standard_error=10 / math.log(10) * error / mean)  # delta method


def spread_out(dataset: ImageDataset, most: int) -> list[int]:
    """Return the items to measure by: `most` of those that have no pixel in common, at even distances, or all."""
    items = dataset.apart
    count = min(most, len(items))
    return [int(items[index * len(items) // count]) for index in range(count)]


def read_pictures(dataset: ImageDataset, items: Sequence[int]) -> Tensor:
    """Return `items` of a data set, uint8, (N, C, H, W).

    Raises:
        InputError: If they are of several sizes.
    """
    pictures = [dataset[item]['inputs'] for item in items]
    shapes = sorted({tuple(picture.shape) for picture in pictures})
    if len(shapes) > 1:
        raise InputError(f'the pictures have to be of one size, got {shapes[0]} and {shapes[-1]}.')
    return torch.stack(pictures)


def mean_colour(pictures: Tensor) -> Tensor:
    """Return the mean colour of uint8 `pictures` (N, C, H, W): (C,), in [-1, 1]."""
    return (pictures.mean((0, 2, 3), dtype=torch.float64) / 127.5 - 1).float()


def record(
    inferencer: ConsistencyModelInferencer,
    model: str,
    fingerprint: str,
    items: Sequence[int],
    sampler: Sampler,
    num_candidates: int,
    seed: int,
    scores: dict[str, EditScores],
) -> bytes:
    """Return the content of a file of `scores`, by edit; the description of this module says what is in it."""
    settings = {key.lstrip('_'): value for key, value in vars(sampler).items()}
    content = dict(
        format=FORMAT,
        model=model,
        checkpoint=inferencer.checkpoint,
        weights=digest(inferencer.model.drawing_denoiser.backbone.state_dict()),
        images=dict(fingerprint=fingerprint, items=list(items)),
        sampler=plain({'type': type(sampler).__name__, **settings}),
        network_calls=sampler.num_calls,
        num_candidates=num_candidates,
        seed=seed,
        versions=dict(mmcm=__version__, torch=torch.__version__),
        device=torch.cuda.get_device_name() if inferencer.device.type == 'cuda' else 'cpu',
        edits={name: dict(seconds=score.seconds, results=plain(score.summary())) for name, score in scores.items()},
    )
    return (json.dumps(content, indent=2, allow_nan=False) + '\n').encode()
