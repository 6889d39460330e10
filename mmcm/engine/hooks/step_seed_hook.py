"""Randomness in training as a function of the step."""

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed torch before each iteration from the run's seed and the iteration, the same in each process.

    Noise, noise levels and dropout of an iteration then do not depend on the iterations before: a resumed run goes on
    as an uninterrupted one, with no generator's state in the checkpoint. Where the arithmetic is deterministic, as on a
    CPU, both end with the same weights, bit for bit. `draw_for_batch` gives each process noise of its own.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed torch's generators."""
        sequence = np.random.SeedSequence((runner.seed, runner.iter))
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
