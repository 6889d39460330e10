"""What hooks that draw a sheet of pictures now and then have in common."""
from abc import abstractmethod
from pathlib import Path
from typing import Optional

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.utils.files import make_folder
from mmcm.utils.images import write_picture


class SheetHook(Hook):
    """Draw a sheet every `interval` iterations and at the end.

    It is written to `<name>/iter_<n>.png` in the work directory and to the runner's visualizer (TensorBoard, ...).

    Args:
        interval (int): Iterations between two sheets.
    """

    name: str  # of the folder, and for the visualizer
    priority = 'LOWEST'  # after the averages, and after the checkpoint: a sheet may take long

    def __init__(self, interval: int) -> None:
        self.interval = interval

    @abstractmethod
    def sheet(self, runner: Runner) -> np.ndarray:
        """Return the sheet, (H, W, 3), uint8 RGB."""

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
        sheet = self.sheet(runner)
        path = Path(runner.work_dir) / self.name / f'iter_{runner.iter + 1}.png'
        if is_main_process():
            make_folder(path.parent)
            write_picture(path, sheet)
            runner.visualizer.add_image(self.name, sheet, step=runner.iter + 1)
        return path
