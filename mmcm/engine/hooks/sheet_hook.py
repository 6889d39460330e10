"""Base of hooks that write a grid of images at an interval."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.utils.checks import check_count
from mmcm.utils.files import make_folder
from mmcm.utils.finite import NotFiniteError
from mmcm.utils.images import write_image
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.provenance import record_of, shown_source

MAX_COST = 1000  # NFE times images
COUNTED_ONCE = 64 * 64  # pixels


class SheetHook(Hook):
    """Write a grid of images every `interval` iterations and at the end, after the checkpoint of the same iteration.

    It goes to `<name>/iter_<n>.png` in the work directory and to the runner's visualizer (TensorBoard, ...), and a line
    of the log announces it. Where its images would cost more than `max_cost`, there are fewer.
    `default_hooks=dict(<switch>=None)` leaves grids out.

    Args:
        interval (int): Iterations between two grids.
        max_cost (int): NFE of a grid, the sum over its images; an evaluation for an image of more than 64 x 64 pixels
            counts as many times as it has so many pixels. A grid has at least one image.
    """

    name: str  # of the folder, and for the visualizer
    switch: str  # name of the hook in default_runtime.py
    priority = 'LOWEST'  # after the averages, and after the checkpoint: a grid may take long

    def __init__(self, interval: int, max_cost: int = MAX_COST) -> None:
        check_count('max_cost', max_cost)
        self.interval = interval
        self.max_cost = max_cost

    @abstractmethod
    def sheet(self, runner: Runner) -> np.ndarray:
        """Return the grid, (H, W, 3), uint8 RGB."""

    def affordable(self, runner: Runner, num_images: int, num_calls: int) -> int:
        """Return how many of `num_images` with an NFE of `num_calls` each `max_cost` allows, 1 or more."""
        *_, height, width = unwrapped(runner.model).image_shape
        cost = num_calls * max(1, height * width / COUNTED_ONCE)
        return min(num_images, max(1, int(self.max_cost / cost)))

    def title(self, runner: Runner, nfe: int) -> str:
        """Return the line above the grid: the iteration, and the NFE of an image."""
        return f'iteration {runner.iter + 1}, NFE {nfe}'

    def announce(self, runner: Runner, num_images: int, wanted: int, num_calls: int) -> None:
        """Log the number of images and their cost, as they may take long."""
        fewer = '' if num_images == wanted else f' of {wanted}, which would exceed max_cost={self.max_cost}'
        runner.logger.info(
            f'Sampling {self.name}/{self.file_name(runner)}: {num_images} images{fewer}, {num_calls} '
            f'network evaluation{"s" * (num_calls > 1)} each. default_hooks.{self.switch}=None leaves it out.'
        )

    def file_name(self, runner: Runner) -> str:
        """Return the file name for the grid of this iteration."""
        return f'iter_{runner.iter + 1}.png'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a grid at the interval."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self.draw(runner)

    def draw(self, runner: Runner) -> Path | None:
        """Write a grid now; return its path, None where the network makes NaN or infinities.

        Each process samples, since none can alone where the weights are sharded; the main one writes. A grid that fails
        does not end the training, which has a guard of its own.
        """
        try:
            sheet = self.sheet(runner)
        except NotFiniteError as error:
            runner.logger.warning(f'{self.name}/{self.file_name(runner)} is left out: {error}')
            return None
        path = Path(runner.work_dir) / self.name / self.file_name(runner)
        if is_main_process():
            make_folder(path.parent)
            config = shown_source(getattr(runner.cfg, 'filename', None))
            facts = dict(config=config, iteration=runner.iter + 1, seed=runner.seed)
            write_image(path, sheet, record_of('training', what=self.name, **facts))
            runner.visualizer.add_image(self.name, sheet, step=runner.iter + 1)
        return path
