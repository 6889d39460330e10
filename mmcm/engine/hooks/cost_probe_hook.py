"""Measurement of the time and the memory of a training."""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmcm.engine.hooks.sheet_hook import SheetHook
from mmcm.registry import HOOKS
from mmcm.utils.checks import check_count, check_positive
from mmcm.utils.files import write_bytes
from mmcm.utils.mmengine_compat import save_checkpoint
from mmcm.utils.system import peak_memory

WARM_UP = 2  # steps that are not measured: the first ones allocate memory
LEAST_STEPS = 3  # that are measured for a number of threads in a round
ROUNDS = 2  # that alternate between the numbers of threads, since a machine may have other work for a while
HOPELESS = 2.0  # times the best median: a number of threads with slower steps is measured no longer
SLOW_STEP = 5.0  # seconds; one round is enough for steps that are longer


@HOOKS.register_module()
class CostProbeHook(Hook):
    """Measure a few steps of a training, a checkpoint, the grids and the validation; then end the training.

    The file `out` gets, in JSON: `start` (seconds before the first step), `threads` (the fastest number), `steps`
    (seconds of each measured step by number of threads, as pairs), `checkpoint`, `grids`, `first_validation` and
    `validation` (seconds), and `memory` (peak in bytes: of the process, or of the accelerator).

    Args:
        out (str): The file.
        threads (Sequence[int]): Numbers of CPU threads to compare; empty keeps the number.
        seconds (float): Time for the steps of a number of threads, in all rounds.
        begun (float): When the process was started, as `time.time()`.
    """

    priority = 'LOWEST'  # a step ends with all other hooks

    def __init__(self, out: str, threads: Sequence[int], seconds: float, begun: float) -> None:
        for number in threads:
            check_count('threads', number)
        check_positive('seconds', seconds)
        self.out = Path(out)
        self.threads: list[int | None] = list(threads) or [None]
        self.seconds = seconds
        self.begun = begun
        self.start = self.last = 0.0
        self.warm_up = WARM_UP
        self.block_time = seconds
        self.blocks: list[int | None] = []
        self.block: list[float] = []
        self.steps: list[tuple[int | None, float]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Note the time of the start."""
        if not self.start:
            self.start = time.time() - self.begun
            self.last = time.perf_counter()
            self.set_threads(self.threads[0])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Measure a step, from the end of the step before."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        taken, self.last = now - self.last, now
        if self.warm_up:
            self.warm_up -= 1
            if not self.warm_up:
                num_rounds = 1 if taken > SLOW_STEP else ROUNDS
                self.blocks, self.block_time = self.threads * num_rounds, self.seconds / num_rounds
                self.set_threads(self.blocks[0])
            return
        self.block.append(taken)
        measured = self.block[1:]  # the first step after a change of threads starts them
        hopeless = bool(measured) and min(measured) > HOPELESS * self.best()[1]
        if not hopeless and (len(measured) < LEAST_STEPS or sum(measured) < self.block_time):
            return
        threads = self.blocks.pop(0)
        if hopeless:
            self.blocks = [number for number in self.blocks if number != threads]
        self.steps += [(threads, step) for step in measured]
        self.block = []
        if self.blocks:
            self.set_threads(self.blocks[0])
        else:
            self.finish(runner)

    def set_threads(self, number: int | None) -> None:
        """Compute with `number` threads."""
        if number is not None:
            torch.set_num_threads(number)

    def best(self) -> tuple[int | None, float]:
        """Return the fastest number of threads so far, and its median step in seconds; infinity before the first."""
        medians = {
            number: statistics.median([step for threads, step in self.steps if threads == number] or [math.inf])
            for number in self.threads
        }
        return min(medians.items(), key=lambda item: item[1])

    def finish(self, runner: Runner) -> None:
        """Measure what belongs to no step, write the file and end the training."""
        best, _ = self.best()
        self.set_threads(best)
        grids = [hook for hook in runner.hooks if isinstance(hook, SheetHook)]
        checkpoints = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        found = dict(
            start=self.start,
            threads=best,
            steps=self.steps,
            checkpoint=sum(timed(partial(save_checkpoint, hook, runner)) for hook in checkpoints),
            grids=sum(timed(partial(hook.draw, runner)) for hook in grids),
        )
        if runner.val_loop is not None:
            found['first_validation'] = timed(runner.val_loop.run)
            found['validation'] = timed(runner.val_loop.run)
        accelerated = torch.cuda.is_available()
        found['memory'] = torch.cuda.max_memory_allocated() if accelerated else peak_memory()
        write_bytes(self.out, json.dumps(found).encode())
        runner.train_loop.stop_training = True


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin
