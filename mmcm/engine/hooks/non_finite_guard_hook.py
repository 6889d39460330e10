"""Stop a training with a loss or weights that are not finite."""

from copy import copy
from itertools import islice
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmcm.datasets.samplers.resumable_sampler import ResumableSampler
from mmcm.engine.resuming.last_checkpoint import LastCheckpoint
from mmcm.engine.steps import iterations_per_step
from mmcm.registry import HOOKS
from mmcm.utils.errors import InputError, first_of
from mmcm.utils.mmengine_compat import indices_of_rank
from mmcm.utils.model_wrappers import unwrapped

NEVER = 2**62
WEIGHTS = 'norm of the weights'
SHOWN = 8  # names or numbers in a message


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Stop training when a loss is not finite, before anything of it gets into a checkpoint.

    The losses are read from the device every `interval` iterations, and in all processes before a checkpoint, so that
    no other iteration waits for the device; the error names the first bad iteration all the same. In mixed precision a
    single infinite gradient is normal, and the optimiser skips that step. Gradients can be NaN where the loss is not,
    and only the next loss would show it; so the trained weights are checked, too, after each step of the optimiser.

    Args:
        interval (int): Iterations between two checks.
    """

    priority = 'HIGH'  # before averages, samples and checkpoints

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise InputError(f'interval has to be at least 1, got {interval}.')
        self.interval = interval
        self.unread: list[tuple[int, dict[str, Tensor]]] = []
        self.last_checkpoint: LastCheckpoint | None = None

    def before_train(self, runner: Runner) -> None:
        """Drop the losses of another run, and note its last checkpoint in the work directory."""
        self.unread = []
        self.last_checkpoint = LastCheckpoint(runner.work_dir, resumed=runner.iter > 0)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the losses; check them at the interval."""
        if outputs:
            # Copies, since compiled code may use the memory of its results again.
            values = {name: value.detach().clone() for name, value in outputs.items() if isinstance(value, Tensor)}
            if runner.optim_wrapper.should_update():
                values[WEIGHTS] = weight_norm(unwrapped(runner.model))
            self.unread.append((runner.iter, values))
        if (
            self.every_n_train_iters(runner, self.interval)
            or self.is_last_train_iter(runner)
            or saves_checkpoint(runner)
        ):
            self.check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the losses: checkpoints may be saved here."""
        self.check(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the losses: the best checkpoint is saved after a validation."""
        self.check(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights to save. Only the main process gets here."""
        bad = first_bad(self.unread)
        if bad is not None:
            self.stop(runner, bad[0], [describe(runner, *bad)])
        weights = checkpoint.get('state_dict', {})  # DeepSpeed writes them itself
        names = [name for name, value in weights.items() if not torch.isfinite(value).all()]
        if names:
            raise InputError(
                f'{len(names)} of {len(weights)} weights are not finite after iteration {runner.iter + 1}'
                f', though the losses were: {first_of(names, SHOWN)}. The gradients were not, so the '
                f'checkpoint was not written. {self.advice(runner)}'
            )

    def check(self, runner: Runner) -> None:
        """Read the losses of all processes; raise an InputError if one is not finite."""
        if not self.unread:
            return
        bad = first_bad(self.unread)
        self.unread = []
        first = torch.tensor(NEVER if bad is None else bad[0], dtype=torch.int64, device='cpu')
        all_reduce(first, op='min')
        if first < NEVER:
            mine = describe(runner, *bad) if bad is not None and bad[0] == first else None
            self.stop(runner, int(first), [text for text in all_gather_object(mine) if text])

    def stop(self, runner: Runner, iteration: int, descriptions: list[str]) -> None:
        """Raise an InputError with the place, the reason and the way to go on."""
        where = f'iteration {iteration + 1} (training step {iteration // iterations_per_step(runner)}, counted from 0)'
        finding = f'the loss of {where} is not finite'
        if all(WEIGHTS in text for text in descriptions):
            finding = f'the weights are not finite after {where}, though the loss was: its gradient is not'
        raise InputError(
            f'{finding}: {"; ".join(descriptions)}. It comes again with randomness.seed={runner.seed}. '
            f'{self.advice(runner)}'
        )

    def advice(self, runner: Runner) -> str:
        """Return the settings to change and the checkpoint to go on from."""
        good = self.last_checkpoint and self.last_checkpoint.path()
        change = 'a smaller learning rate, optim_wrapper.clip_grad or full precision may help'
        if good:
            return f'The last good checkpoint is {good}: go on from it with --resume; {change}.'
        return f'There is no checkpoint of this run yet: start it anew; {change}.'


def weight_norm(model: nn.Module) -> Tensor:
    """Return the sum of the norms of the trained weights, not finite if one of these is not; nothing waits for it."""
    groups: dict[tuple, list[Tensor]] = {}
    for weight in model.parameters():
        if weight.requires_grad and weight.numel():
            value = weight.detach()
            value = value.float() if value.dtype == torch.float16 else value  # whose squares leave its range
            groups.setdefault((value.device, value.dtype), []).append(value)
    norms = [torch.stack(torch._foreach_norm(group)).float().sum() for group in groups.values()]
    return sum(norms, start=torch.zeros((), dtype=torch.float32, device='cpu'))


def first_bad(losses: list[tuple[int, dict[str, Tensor]]]) -> tuple[int, dict[str, float]] | None:
    """Return the first iteration whose loss is not finite, and its values that are not; None if all are finite."""
    entries = [(iteration, name, value) for iteration, parts in losses for name, value in parts.items()]
    finite: dict[int, bool] = {}
    for device in {value.device for _, _, value in entries}:  # one transfer for each
        here = [index for index, entry in enumerate(entries) if entry[2].device == device]
        finite.update(zip(here, torch.stack([entries[index][2].isfinite().all() for index in here]).tolist()))
    bad = [entries[index] for index in sorted(finite) if not finite[index]]
    # MMEngine minimises the sum of all values with 'loss' in their name; the others are for the log.
    iterations = [iteration for iteration, name, _ in bad if 'loss' in name or name == WEIGHTS]
    if not iterations:
        return None
    first = iterations[0]
    parts = {name: float(value.mean()) for iteration, name, value in bad if iteration == first}
    if len(parts) > 1:  # the weights follow from the loss
        parts.pop(WEIGHTS, None)
    return first, parts


def describe(runner: Runner, iteration: int, parts: dict[str, float]) -> str:
    """Return the values that are not finite in this process, and their images; the log gets all of these."""
    text = f'process {get_rank()}: ' + ', '.join(f'{name} {value}' for name, value in parts.items())
    images = images_of(runner.train_dataloader, iteration)
    if images is None:
        return text
    runner.logger.error(f'{text} in iteration {iteration + 1}, on the images {images}')
    start = iteration * len(images)
    places = f'places {start} to {start + len(images) - 1} of its sampler'
    return f'{text}, on the images {first_of(images, SHOWN)} ({places})'


def images_of(loader: DataLoader, iteration: int) -> list[int] | None:
    """Return the indices of the images of an iteration, counted from 0; None if the sampler cannot repeat its order."""
    if not isinstance(loader.sampler, InfiniteSampler) or loader.batch_size is None:
        return None
    start = iteration * loader.batch_size
    if isinstance(loader.sampler, ResumableSampler):
        return list(islice(loader.sampler.indices_from(start), loader.batch_size))
    return list(islice(indices_of_rank(copy(loader.sampler)), start, start + loader.batch_size))


def saves_checkpoint(runner: Runner) -> bool:
    """Return whether a checkpoint is saved after this iteration; in all processes, of which only one saves it."""
    return any(
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in runner.hooks
    )
