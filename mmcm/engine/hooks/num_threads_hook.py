"""Number of CPU threads of a training."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.registry import HOOKS
from mmcm.utils.checks import check_count


@HOOKS.register_module()
class NumThreadsHook(Hook):
    """Compute with `num_threads` threads on the CPU.

    Threads wait for each other in every layer: on a machine with other work, one may be faster than one per core.

    Args:
        num_threads (int): Number of threads of an operation.
    """

    priority = 'HIGHEST'

    def __init__(self, num_threads: int) -> None:
        check_count('num_threads', num_threads)
        self.num_threads = num_threads

    def before_run(self, runner: Runner) -> None:
        """Set the number, for this process."""
        torch.set_num_threads(self.num_threads)
