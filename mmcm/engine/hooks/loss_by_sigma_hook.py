"""Mean losses by ranges of the noise level."""

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcm.registry import HOOKS
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped


@HOOKS.register_module()
class LossBySigmaHook(Hook):
    """Log the mean loss of the images in each range of noise levels, as `loss_by_sigma/<low>-<high>`.

    The mean is over all images of all processes since the log before, at the interval of the LoggerHook. Ranges without
    images are left out. The sums stay on the device in between, and nothing waits for them.

    Args:
        edges (Sequence[float]): Bounds between the ranges, ascending, in the units of sigma. The first range begins at
            0, the last one has no end.
    """

    priority = 'BELOW_NORMAL'  # after NonFiniteGuardHook

    def __init__(self, edges: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)) -> None:
        if not edges or not all(a < b for a, b in zip((0, *edges), (*edges, inf))):
            raise InputError(f'edges have to be positive and ascending, such as (0.1, 1.0, 10.0), got {edges!r}.')
        self.edges = torch.tensor(edges, dtype=torch.float32, device='cpu')
        self.names = [f'loss_by_sigma/{low:g}-{high:g}' for low, high in zip((0, *edges), (*edges, inf))]
        self.sums = torch.zeros(0, dtype=torch.float32, device='cpu')
        self.handle: RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        """Read the outputs of the objective from now on."""
        self.edges = self.edges.to(get_device())
        # Of losses, and of images.
        self.sums = torch.zeros(len(self.names), 2, dtype=torch.float32, device=self.edges.device)
        self.interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 0)
        self.after_train(runner)  # of a run that an error has ended
        objective = getattr(unwrapped(runner.model), 'objective', None)
        if isinstance(objective, nn.Module):
            self.handle = objective.register_forward_hook(self.read)

    def read(self, objective: nn.Module, inputs: tuple, output: dict[str, Tensor]) -> None:
        """Add the losses of an `output` of the objective, if it has their noise levels."""
        if 'sigma' in output:
            self.add(output['sigma'], output['loss'])

    @torch.no_grad()
    def add(self, sigma: Tensor, loss: Tensor) -> None:
        """Add the `loss` of each image, (N,), to its range of `sigma`, (N,)."""
        values = torch.stack([loss.float(), torch.ones_like(loss, dtype=torch.float)], 1)
        self.sums.index_add_(0, torch.bucketize(sigma.float().contiguous(), self.edges, right=True), values)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Log the means at the interval."""
        if not (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            return
        sums = self.sums.cpu().double()
        self.sums.zero_()
        all_reduce(sums)
        if is_main_process():
            means = {name: total / number for name, (total, number) in zip(self.names, sums.tolist()) if number}
            runner.visualizer.add_scalars(means, step=runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Read no more outputs of the objective."""
        if self.handle is not None:
            self.handle.remove()
            self.handle = None
