"""Time of iterations, and the time that remains."""

import time
from typing import Any

from mmengine.hooks import IterTimerHook
from mmengine.runner import Runner

from mmcm.registry import HOOKS


@HOOKS.register_module()
class RemainingTimeHook(IterTimerHook):
    """MMEngine's IterTimerHook, whose ETA includes validations, grids of samples and checkpoints.

    The ETA is the mean time of an iteration since the start of this process, with everything between iterations, times
    the iterations that remain. MMEngine's adds up the times of iterations alone. The time of a validation does not
    count as that of the iteration after it.
    """

    began: float | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin with the iteration that the run is at."""
        super().before_train(runner)
        self.began = None

    def after_val(self, runner: Runner) -> None:
        """Begin to wait for the data of the next iteration."""
        self.t = time.time()

    def _before_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train') -> None:
        super()._before_iter(runner, batch_idx, data_batch, mode)
        if mode == 'train' and self.began is None:
            self.began = time.monotonic()

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = 'train'
    ) -> None:
        super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
        if mode == 'train' and self.began is not None:
            finished, remaining = runner.iter + 1 - self.start_iter, runner.max_iters - runner.iter - 1
            runner.message_hub.update_info('eta', (time.monotonic() - self.began) / finished * remaining)
