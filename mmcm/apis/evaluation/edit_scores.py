"""Scores of edits: images are degraded, edited by a model and by baselines, and compared with the originals.

The file of scores is JSON, with

- `format`: 1, the number of this description;
- `model`, `checkpoint`, `weights`: the names that the user gave, and SHA-256 of names and values of the weights;
- `images`: the `fingerprint` of the data set, and the `items` of it that were edited;
- `sampler`, `network_calls`: its settings, and calls per candidate; `num_candidates` per image; `seed`;
- `versions` of mmcm and torch; `device`;
- `edits`: for each edit, the `seconds` that sampling took and its `results`: for each way to edit, `psnr`,
  `pooled_psnr` (both in dB) and `ssim`, each with the `mean` over the images and its `standard_error`.

The mean PSNR is a mean of decibels, in which flat images, which are easy, count the most. The pooled PSNR is that of
the mean squared error over all images (and, for 'candidate', over all candidates), in which images with much detail
count the most.

The standard errors assume independent images. Patches of one photograph are alike, so a mean over them is less certain.
"""

import json
import math
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
from mmcm.models.editing import check_pixels, editing_sampler
from mmcm.models.sampling_loop import sample_in_batches
from mmcm.operators import Inpainting
from mmcm.renamed import renamed_member
from mmcm.samplers import Callback, Sampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.provenance import versions
from mmcm.visualization.grids import named_grid

FORMAT = 1
CANDIDATE, MEAN, BEST = 'candidate', 'mean of candidates', 'best candidate'  # ways to edit with a model
SHOWN = 3  # candidates of an image in a grid
CELL_SIDE = 96  # least side of an image in a grid, in pixels


@dataclass(frozen=True)
class EditScores:
    """Edits of images by a model and by the baselines, and their scores; images are uint8, on the CPU.

    Attributes:
        pictures (Tensor): The originals, (N, C, H, W).
        known (Tensor): What was known of them, (N, C, H, W).
        candidates (Tensor): The results of the model, (N, K, C, H, W).
        mean (Tensor): The mean of the candidates, rounded, (N, C, H, W): an estimate of the posterior mean, which has
            the least expected squared error, and is blurred.
        filled (dict[str, Tensor]): The results of each baseline, by its name, (N, C, H, W).
        results (dict[str, Similarity]): Similarity to the originals, by the names of the baselines and, for the model,
            'candidate', the mean over the candidates of an image, 'mean of candidates', and 'best candidate', the one
            with the highest PSNR, which cannot be found without the original.
        seconds (float): How long sampling took, without loading.
        nfe (int): NFE per candidate.
    """

    pictures: Tensor
    known: Tensor
    candidates: Tensor
    mean: Tensor
    filled: dict[str, Tensor]
    results: dict[str, Similarity]
    seconds: float
    nfe: int
    num_calls = renamed_member('num_calls', 'nfe')

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return means and standard errors over the images, by way to edit and measure, as in the file of scores."""
        return {
            way: dict(
                psnr=mean_and_error(result.psnr),
                pooled_psnr=pooled_psnr(result.squared_error),
                ssim=mean_and_error(result.ssim),
            )
            for way, result in self.results.items()
        }

    def sheet(self, indices: Sequence[int], baseline: str) -> np.ndarray:
        """Return a grid with a row per image: original, known, a baseline, candidates and their mean, with PSNR.

        Args:
            indices (Sequence[int]): Which images.
            baseline (str): The name of a baseline.

        Returns:
            ndarray: (H, W, 3), uint8 RGB.
        """
        shown = min(SHOWN, self.candidates.shape[1])
        columns = {
            'image': self.pictures,
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
        return named_grid(rows, [str(index) for index in indices], list(columns), CELL_SIDE, captions)


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
    """Degrade images, edit them with a model and with the baselines, and compare the results with the originals.

    Results depend on the seed and the numbers of images and candidates, and not on the batches (up to rounding).

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        pictures (Tensor): uint8, (N, C, H, W), of the model's size.
        edit (Edit): What is known of them, and the baselines.
        labels (Sequence[int], optional): The class of each image (N), or 'random' or 'balanced'; for class-conditional
            models.
        num_candidates (int): Different results per image, K.
        seed (int): Seed of all results, as in `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): How to sample; by default see `editing_sampler`.
        progress (bool): Whether to show a progress bar on stderr.

    Raises:
        InputError: If the arguments do not fit the model; then no weights have been read.
    """
    check_count('num_candidates', num_candidates)
    sampler = sampler or editing_sampler(inferencer.sampler)
    known, filled = fill_without_model(inferencer, pictures, edit)
    if labels is not None and not isinstance(labels, str):
        labels = np.repeat(np.asarray(labels), num_candidates).tolist()
    request = inferencer.request(len(pictures) * num_candidates, labels, seed, sampler=sampler)
    model, size = inferencer.load().model, request.batch_size
    owner = torch.arange(len(pictures), device='cpu').repeat_interleave(num_candidates)  # the image of each candidate

    def batch(part: slice, on_step: Callback) -> Tensor:
        classes, noise, _ = request.inputs(part)
        given = known[owner[part]]
        edited = model.edit(given, edit.operator, classes, 1, noise, request.sampler, callback=on_step, degraded=True)
        return edited[:, 0]

    candidates, seconds, *_ = sample_in_batches(
        batch,
        request.num_images,
        size,
        model.data_preprocessor.destruct,
        sampler.num_steps,
        progress='editing' if progress else '',
    )
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
    shown = model.data_preprocessor.destruct(known)
    return EditScores(pictures, shown, candidates, mean, filled, results, seconds, model.nfe(sampler))


def fill_without_model(
    inferencer: ConsistencyModelInferencer, pictures: Tensor, edit: Edit
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the known part, in [-1, 1], of `pictures` (N, C, H, W), uint8, and each baseline's result, uint8.

    Raises:
        InputError: If images, model and operator do not fit each other.
    """
    check_pixels(inferencer.model)
    shape = inferencer.model.image_shape
    if pictures.ndim != 4 or pictures.shape[1:] != shape or pictures.dtype != torch.uint8 or not len(pictures):
        raise InputError(
            f'the images have to be uint8, (N, {", ".join(map(str, shape))}), as the model generates them, '
            f'got {pictures.dtype}, {tuple(pictures.shape)}: take others, or another model.'
        )
    if isinstance(edit.operator, Inpainting) and len(edit.operator.mask) != 1:
        raise InputError(f'one mask for all images is needed, got {len(edit.operator.mask)}.')
    similarity(pictures[:1], pictures[:1])  # an InputError if they are too small for it
    destruct = inferencer.model.data_preprocessor.destruct
    known = edit.operator.degrade(pictures.float() / 127.5 - 1)
    return known, {name: destruct(fill(known)) for name, fill in edit.baselines.items()}


def compare(images: Tensor, references: Tensor, batch_size: int) -> Similarity:
    """Return the similarity of `images` and `references`, both (N, C, H, W), computed in batches."""
    parts = [similarity(*pair) for pair in zip(images.split(batch_size), references.split(batch_size))]
    return Similarity(*map(torch.cat, zip(*parts)))


def mean_and_error(values: Tensor) -> dict[str, float]:
    """Return the mean of independent `values` (N,) and its standard error, NaN for a single value."""
    error = values.std() / len(values) ** 0.5 if len(values) > 1 else math.nan
    return dict(mean=float(values.mean()), standard_error=float(error))


def pooled_psnr(squared_errors: Tensor) -> dict[str, float]:
    """Return the PSNR of the mean of squared errors (N,), and its standard error, in dB."""
    mean, error = mean_and_error(squared_errors).values()
    psnr_of_mean = float(as_psnr(squared_errors.mean()))
    return dict(mean=psnr_of_mean, standard_error=10 / math.log(10) * error / mean)  # delta method


def spread_out(dataset: ImageDataset, most: int) -> list[int]:
    """Return at most `most` items that have no pixel in common, at even distances."""
    items = dataset.apart
    count = min(most, len(items))
    return [int(items[index * len(items) // count]) for index in range(count)]


def read_pictures(dataset: ImageDataset, items: Sequence[int]) -> Tensor:
    """Read `items` of a data set: uint8, (N, C, H, W).

    Raises:
        InputError: If they are of several sizes.
    """
    pictures = [dataset[item]['inputs'] for item in items]
    shapes = sorted({tuple(picture.shape) for picture in pictures})
    if len(shapes) > 1:
        raise InputError(f'the images have to be of one size, got {shapes[0]} and {shapes[-1]}.')
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
    """Return the content of a file of `scores`, by edit; see the docstring of this module."""
    settings = {key.lstrip('_'): value for key, value in vars(sampler).items()}
    content = dict(
        format=FORMAT,
        model=model,
        checkpoint=inferencer.checkpoint,
        weights=digest(inferencer.model.inference_denoiser.backbone.state_dict()),
        images=dict(fingerprint=fingerprint, items=list(items)),
        sampler=plain({'type': type(sampler).__name__, **settings}),
        network_calls=inferencer.model.nfe(sampler),
        num_candidates=num_candidates,
        seed=seed,
        versions=versions(),
        device=torch.cuda.get_device_name() if inferencer.device.type == 'cuda' else 'cpu',
        edits={name: dict(seconds=score.seconds, results=plain(score.summary())) for name, score in scores.items()},
    )
    return (json.dumps(content, indent=2, allow_nan=False) + '\n').encode()
