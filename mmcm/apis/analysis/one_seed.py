"""Grid of samples from the same seeds, by several models or samplers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.utils.errors import InputError
from mmcm.utils.wording import counted
from mmcm.visualization.grids import named_grid, on_square


class Row(NamedTuple):
    """Model and sampler of a row of the grid.

    Attributes:
        model (str): See ConsistencyModelInferencer.
        checkpoint (str, optional): See ConsistencyModelInferencer.
        average (str, optional): See ConsistencyModelInferencer.
        num_steps (int, optional): Steps of the sampler.
        sampler (dict): Another sampler, or changes to the model's.
        name (str, optional): Title of the row; the model's name if None.
    """

    model: str
    checkpoint: str | None = None
    average: str | None = None
    num_steps: int | None = None
    sampler: dict | None = None
    name: str | None = None


def seed_sheet(
    rows: Sequence[Row],
    seeds: Sequence[int],
    labels: Sequence[int | str] | str | None = 'balanced',
    device: str | None = None,
    min_side: int = 64,
) -> np.ndarray:
    """Sample each row from the same seeds, and so from the same noise where images are of one size.

    Args:
        rows (Sequence[Row]): The rows; all requests are checked before the first one is sampled.
        seeds (Sequence[int]): Seed of each column.
        labels (Sequence | str, optional): Classes of the columns, for the models that have any; see the inferencer.
        device (str, optional): See ConsistencyModelInferencer.
        min_side (int): Smaller images are magnified to about this side.

    Returns:
        ndarray: The grid, (H, W, 3), uint8 RGB.
    """
    if not rows or not seeds:
        raise InputError('at least one model and one seed are needed.')
    inferencers, requests = [], []
    for row in rows:
        inferencer = ConsistencyModelInferencer(
            row.model, row.checkpoint, device=device, sampler=row.sampler, average=row.average
        )
        classes = None if inferencer.model.num_classes is None else labels
        inferencers.append(inferencer)
        requests.append(inferencer.request(len(seeds), classes, list(seeds), num_steps=row.num_steps))
    tiles, names = [], []
    for row, inferencer, request in zip(rows, inferencers, requests):
        result = inferencer.sample(request)
        tiles.append(result.pixels)
        names.append(f'{row.name or row.model}\n{counted(result.nfe, "network evaluation")}')
        inferencer.model.to('cpu')  # so that the models need not all fit the GPU at once
    side = max(max(images.shape[2:]) for images in tiles)
    return named_grid(
        [[on_square(image, side) for image in images] for images in tiles],
        names,
        column_names(seeds, [request.names for request in requests]),
        min_side,
    )


def column_names(seeds: Sequence[int], classes_of_rows: Sequence[Sequence[str] | None]) -> list[str]:
    """Return the seed of each column, and its class where all conditional models have the same.

    Args:
        seeds (Sequence[int]): Of each column.
        classes_of_rows (Sequence): For each row the name of the class of each column, None for unconditional models.
    """
    classes = {tuple(names) for names in classes_of_rows if names is not None}
    if len(classes) != 1:
        return [f'seed {seed}' for seed in seeds]
    return [f'seed {seed}\nclass {name}' for seed, name in zip(seeds, classes.pop())]
