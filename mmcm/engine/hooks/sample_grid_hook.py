"""Looking at what a model draws while it is trained."""
import numpy as np
import torch
from mmengine.runner import Runner

from mmcm.datasets.sampling_requests import SamplingRequests
from mmcm.engine.hooks.sheet_hook import MAX_COST, SheetHook
from mmcm.registry import HOOKS
from mmcm.utils.images import grid
from mmcm.utils.model_wrappers import unwrapped


@HOOKS.register_module()
class SampleGridHook(SheetHook):
    """Draw a sheet of images at fixed seeds every `interval` iterations and at the end.

    It is written to `samples/iter_<n>.png`, see SheetHook. Rows are classes, as far as there are any. Where images
    exceed `max_cost`, columns are left out, and rows only where one column is too many.

    Args:
        interval (int): Iterations between two sheets.
        rows (int): Rows of the sheet.
        columns (int): Columns of the sheet.
        seed (int): Seed of the images.
        batch_size (int): Images per call of the sampler; it bounds the memory that they take beside the training.
        max_cost (int): See SheetHook.
    """

    name, switch = 'samples', 'sample_grid'

    def __init__(self, interval: int = 1000, rows: int = 10, columns: int = 10, seed: int = 0,
                 batch_size: int = 16, max_cost: int = MAX_COST) -> None:
        super().__init__(interval, max_cost)
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self.batch_size = batch_size

    def sheet(self, runner: Runner) -> np.ndarray:
        """See SheetHook."""
        model = unwrapped(runner.model)
        wanted, num_calls = self.rows * self.columns, model.sampler.num_calls
        number = self.affordable(runner, wanted, num_calls)
        columns = max(1, number // self.rows)
        number = min(number, self.rows * columns)
        self.announce(runner, number, wanted, num_calls)
        labels = None
        if model.num_classes is not None:
            labels = [index // columns % model.num_classes for index in range(number)]
        requests = SamplingRequests(number, model.num_classes, labels, self.seed)
        images = []
        for start in range(0, number, self.batch_size):
            batch = [requests[index]['data_samples'] for index in range(start, min(start + self.batch_size, number))]
            images += [sample.fake_img.cpu() for sample in runner.model.test_step(dict(data_samples=batch))]
        return grid(torch.stack(images), columns)
