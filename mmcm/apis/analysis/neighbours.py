"""Nearest training images of samples, which show whether a model has memorised its data.

The scale is the distance from training images to their own nearest neighbours: a sample that is much nearer to a
training image than these are to each other has been memorised, or nearly.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from mmengine.device import get_device
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmcm.datasets import stack_samples
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.evaluation.features.base import FeatureExtractor
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.images import shape_in_words
from mmcm.utils.progress import progress_bar
from mmcm.visualization.grids import named_grid

BLOCK = 512  # training images in memory at once

Describe = Callable[[Tensor], Tensor]  # from uint8 (N, C, H, W) to float32 (N, D)


class Neighbours(NamedTuple):
    """Nearest neighbours of each of N images.

    Attributes:
        indices (ndarray): (N, k) of the training images, the nearest first, int64.
        distances (ndarray): (N, k), float64.
    """

    indices: np.ndarray
    distances: np.ndarray


def pixels_of(images: Tensor) -> Tensor:
    """Describe `images` by their grey levels, so that distances are root mean squares of their differences."""
    return images.flatten(1).float() / images[0].numel() ** 0.5


def features_with(extractor: FeatureExtractor) -> Describe:
    """Describe images by the features of `extractor`, an entry of the registry; distances are Euclidean."""
    return lambda images: extractor.extract(images).features.float()


def find_neighbours(
    samples: ImageDataset,
    data: ImageDataset,
    k: int = 5,
    num_real: int = 100,
    describe: Describe = pixels_of,
    workers: int = 0,
    progress: bool = False,
) -> tuple[Neighbours, Neighbours]:
    """Find the nearest training images of samples, and of some of the training images themselves.

    The training images are read once, block by block, so that they need not fit into memory; the descriptions of the
    samples have to.

    Args:
        samples (ImageDataset): The N samples.
        data (ImageDataset): The training images; as many channels and pixels as the samples.
        k (int): How many neighbours to find.
        num_real (int): How many of the training images to look at, evenly spread; they are not their own neighbours.
        describe (Callable): What distances are taken of: `pixels_of`, or `features_with` an extractor.
        workers (int): Processes that read images.
        progress (bool): Whether to show a progress bar on stderr.

    Returns:
        tuple[Neighbours, Neighbours]: Those of the samples, and those of the training images that were looked at.

    Raises:
        InputError: If there are too few training images, or they do not fit the samples.
    """
    check_count('the number of neighbours', k)
    if len(data) <= k:
        raise InputError(f'{k} neighbours need at least {k + 1} training images, got {len(data)}.')
    shapes = [tuple(images[0]['inputs'].shape) for images in (samples, data)]
    if shapes[0] != shapes[1]:
        of_samples, of_data = map(shape_in_words, shapes)
        raise InputError(f'samples of {of_samples} cannot be compared with training images of {of_data}.')
    chosen = np.unique(np.linspace(0, len(data) - 1, min(num_real, len(data))).round().astype(np.int64))
    device = torch.device(get_device())

    def descriptions(dataset: ImageDataset, indices: np.ndarray | None = None) -> Iterator[Tensor]:
        subset = dataset if indices is None else Subset(dataset, indices.tolist())
        for batch in DataLoader(subset, BLOCK, num_workers=workers if indices is None else 0, collate_fn=stack_samples):
            yield describe(batch['inputs'].to(device)).to(device)  # extractors leave features in main memory

    queries = torch.cat([*descriptions(samples), *descriptions(data, chosen)])
    own = torch.full((len(queries), 1), -1, dtype=torch.int64, device=device)
    own[len(samples) :, 0] = torch.from_numpy(chosen)
    centre = queries.mean(0)  # smaller numbers, smaller errors of rounding
    shifted = queries - centre
    norms = shifted.square().sum(1, keepdim=True)
    best = torch.full((len(queries), k), torch.inf, dtype=queries.dtype, device=device)
    places = torch.full((len(queries), k), -1, dtype=torch.int64, device=device)
    with progress_bar('comparing', -(-len(data) // BLOCK), shown=progress, unit='blocks') as advance:
        start = 0
        for block in descriptions(data):
            block -= centre
            squares = torch.addmm(norms + block.square().sum(1), shifted, block.T, alpha=-2)
            here = torch.arange(start, start + len(block), device=device).expand(len(queries), -1)
            squares = squares.masked_fill(here == own, torch.inf)
            nearest = torch.cat([best, squares], 1).topk(k, largest=False)
            best, places = nearest.values, torch.cat([places, here], 1).gather(1, nearest.indices)
            start += len(block)
            advance()
    indices = places.cpu().numpy()
    # Once more without the rounding of the formula above, which matters where images are nearly the same.
    distances = np.empty(indices.shape)
    for query in range(len(indices)):
        found = torch.cat([*descriptions(data, indices[query])])
        distances[query] = torch.linalg.vector_norm((found - queries[query]).double(), dim=1).cpu()
    order = distances.argsort(1, kind='stable')
    both = [np.take_along_axis(values, order, 1) for values in (indices, distances)]
    return (
        Neighbours(*(values[: len(samples)] for values in both)),
        Neighbours(*(values[len(samples) :] for values in both)),
    )


def report(found: Neighbours, real: Neighbours, samples: ImageDataset, data: ImageDataset) -> dict:
    """Return what was found as plain values.

    Returns:
        dict: `samples`, for each its `source` and its `neighbours` (`index`, `source`, `label`, `distance`); `real`,
        the distances of training images to their nearest ones, ascending; `median_distance` of both; and
        `share_nearer`, the share of samples that are nearer to a training image than 95 % of these are.
    """
    scale = np.sort(real.distances[:, 0])
    nearest = found.distances[:, 0]
    entries = [
        dict(
            source=samples.source_of(index),
            neighbours=[
                dict(
                    index=int(place),
                    source=data.source_of(int(place)),
                    label=None if data.labels is None else int(data.labels[place]),
                    distance=float(distance),
                )
                for place, distance in zip(*rows)
            ],
        )
        for index, rows in enumerate(zip(found.indices, found.distances))
    ]
    summary = {}
    if len(scale):
        summary = dict(
            median_distance=dict(samples=float(np.median(nearest)), real=float(np.median(scale))),
            share_nearer=float((nearest < np.quantile(scale, 0.05)).mean()),
        )
    return dict(**summary, real=scale.tolist(), samples=entries)


def neighbour_sheet(
    found: Neighbours, samples: ImageDataset, data: ImageDataset, rows: int = 16, min_side: int = 64
) -> np.ndarray:
    """Return a grid, (H, W, 3), uint8 RGB: samples, those nearest to training images first, and their neighbours.

    The number below each neighbour is its distance.
    """
    chosen = found.distances[:, 0].argsort(kind='stable')[:rows]
    tiles = [
        [samples[int(index)]['inputs'], *(data[int(place)]['inputs'] for place in found.indices[index])]
        for index in chosen
    ]
    captions = [text for index in chosen for text in ('', *(f'{distance:.3g}' for distance in found.distances[index]))]
    columns = ['sample', *(f'{rank}' for rank in range(1, found.indices.shape[1] + 1))]
    return named_grid(tiles, [f'image {index}' for index in chosen], columns, min_side, captions)
