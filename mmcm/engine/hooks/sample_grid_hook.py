"""Looking at what a model draws while it is trained."""
from pathlib import Path
from typing import Optional

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.datasets.sampling_requests import SamplingRequests
from mmcm.registry import HOOKS
from mmcm.utils.files import make_folder
from mmcm.utils.images import grid, write_picture
from mmcm.utils.model_wrappers import unwrapped


@HOOKS.register_module()
class SampleGridHook(Hook):
    """Draw a sheet of images at fixed seeds every `interval` iterations and at the end.

    It is written to `samples/iter_<n>.png` in the work directory and to the runner's visualizer (TensorBoard, ...).
    Rows are classes, as far as there are any.

    Args:
        interval (int): Iterations between two sheets.
        rows (int): Rows of the sheet.
        columns (int): Columns of the sheet.
        seed (int): Seed of the images.
        batch_size (int): Images per call of the sampler; it bounds the memory that they take beside the training.
    """

    priority = 'LOW'  # after the averages

    def __init__(self, interval: int = 1000, rows: int = 10, columns: int = 10, seed: int = 0,
                 batch_size: int = 16) -> None:
        self.interval = interval
        self.rows = rows
        self.columns = columns
        self.seed = seed
        self.batch_size = batch_size

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw a sheet, if it is time to."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self.draw(runner)

    def draw(self, runner: Runner) -> Path:
        """Draw a sheet now; return its path.

        Each process draws, and the main one writes: where the weights are sharded, none can draw alone.
        """
        model = unwrapped(runner.model)
        number = self.rows * self.columns
        labels = None
        if model.num_classes is not None:
            labels = [index // self.columns % model.num_classes for index in range(number)]
        requests = SamplingRequests(number, model.num_classes, labels, self.seed)
        images = []
        for start in range(0, number, self.batch_size):
            batch = [requests[index]['data_samples'] for index in range(start, min(start + self.batch_size, number))]
            images += [sample.fake_img.cpu() for sample in runner.model.test_step(dict(data_samples=batch))]
        sheet = grid(torch.stack(images), self.columns)
        path = Path(runner.work_dir) / 'samples' / f'iter_{runner.iter + 1}.png'
        if is_main_process():
            make_folder(path.parent)
            write_picture(path, sheet)
            runner.visualizer.add_image('samples', sheet, step=runner.iter + 1)
        return path
