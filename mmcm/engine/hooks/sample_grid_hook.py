"""Grids of samples during training."""

import numpy as np
import torch
from mmengine.runner import Runner

from mmcm.datasets.class_names import class_names
from mmcm.datasets.sampling_requests import SamplingRequests
from mmcm.engine.hooks.sheet_hook import MAX_COST, SheetHook
from mmcm.registry import HOOKS
from mmcm.utils.checks import check_count
from mmcm.utils.model_wrappers import unwrapped
from mmcm.visualization.grids import grid, titled

MOST_ROWS = 10


@HOOKS.register_module()
class SampleGridHook(SheetHook):
    """Write a grid of samples at fixed seeds every `interval` iterations and at the end, to `samples/iter_<n>.png`.

    Rows are classes, if the model has any; below each image is the name of its class, or its number. Above the grid are
    the iteration and the NFE of an image. Where the images exceed `max_cost`, there are fewer columns, and fewer rows
    only where one column is too many. See SheetHook.

    Args:
        rows (int, optional): Rows of the grid; by default as many as the model has classes, at most 10, and 10 for
            models without classes.
        columns (int): Columns of the grid.
        seed (int): Seed of the images.
        batch_size (int): Images per call of the sampler; it bounds their memory.
        interval, max_cost: See SheetHook.
    """

    name, switch = 'samples', 'sample_grid'

    def __init__(
        self,
        interval: int = 1000,
        rows: int | None = None,
        columns: int = 10,
        seed: int = 0,
        batch_size: int = 16,
        max_cost: int = MAX_COST,
    ) -> None:
        if rows is not None:
            check_count('rows', rows)
        check_count('columns', columns)
        check_count('batch_size', batch_size)
        super().__init__(interval, max_cost)
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self.batch_size = batch_size

    def sheet(self, runner: Runner) -> np.ndarray:
        """See SheetHook."""
        model = unwrapped(runner.model)
        rows = self.rows or min(MOST_ROWS, model.num_classes or MOST_ROWS)
        wanted, num_calls = rows * self.columns, model.nfe(model.sampler)
        number = self.affordable(runner, wanted, num_calls)
        columns = max(1, number // rows)
        number = min(number, rows * columns)
        self.announce(runner, number, wanted, num_calls)
        labels = None
        if model.num_classes is not None:
            labels = [index // columns % model.num_classes for index in range(number)]
        requests = SamplingRequests(number, model.num_classes, labels, self.seed)
        images = []
        for start in range(0, number, self.batch_size):
            batch = [requests[index]['data_samples'] for index in range(start, min(start + self.batch_size, number))]
            images += [sample.fake_img.cpu() for sample in runner.model.test_step(dict(data_samples=batch))]
        captions = None
        if labels is not None:
            names = names_of(runner, model.num_classes)
            captions = [names[label] for label in labels]
        return titled(grid(torch.stack(images), columns, captions=captions), self.title(runner, num_calls))


def names_of(runner: Runner, num_classes: int) -> list[str]:
    """Return the names of the classes of the model, their numbers where the config names none."""
    names = runner.cfg.get('class_names')
    if names is None:
        return [str(label) for label in range(num_classes)]
    return [first for first, *_ in class_names(names)]
