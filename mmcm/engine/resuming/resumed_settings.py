"""A resumed run has the optimiser's settings and the schedules that its config says now.

MMEngine takes both from the checkpoint, whatever the config says: a run that is made longer would train at a learning
rate of 0, and another learning rate would be ignored.
"""

import inspect
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner
from torch import Tensor

from mmcm.utils.errors import InputError, first_of
from mmcm.utils.mmengine_compat import SCHEDULER_PROGRESS, SCHEDULER_STEP

DERIVED = {'base_values', 'total_iters', 'param_name'}  # named by what they follow from
PREFIXES = ('initial_', 'max_', 'min_')  # under which schedules note in a group what they start from
SHOWN = 5  # settings in a line of the log


@dataclass
class Settings:
    """The settings of the optimiser and of the schedules as the config says them, at iteration 0.

    Args:
        groups (list[dict]): Of each group of parameters, without these.
        schedulers (list[dict]): The state of each schedule.
        names (set[str]): The settings that the optimiser takes.
        saved (list[dict]): The states of the schedules in the checkpoint.
    """

    groups: list[dict]
    schedulers: list[dict]
    names: set[str]
    saved: list[dict]

    @classmethod
    def of(cls, runner: Runner | FlexibleRunner, checkpoint: dict[str, Any]) -> 'Settings | None':
        """Return the settings of a runner that is to resume `checkpoint`; None where it has several optimisers."""
        saved = checkpoint.get('param_schedulers') or []
        one = isinstance(runner.optim_wrapper, OptimWrapper)
        if not one or not isinstance(runner.param_schedulers or [], list) or not isinstance(saved, list):
            return None
        groups = [
            {key: deepcopy(value) for key, value in group.items() if key != 'params'}
            for group in runner.optim_wrapper.param_groups
        ]
        schedulers = [deepcopy(scheduler.state_dict()) for scheduler in runner.param_schedulers or []]
        return cls(groups, schedulers, setting_names(runner.optim_wrapper.optimizer), deepcopy(saved))

    def restore(self, runner: Runner | FlexibleRunner) -> None:
        """Give a resumed `runner` these settings where its checkpoint had others; a line of the log names them.

        Schedules are functions of the iteration. They are stepped from the start to where the run is, which gives the
        values of a run that has had them all along, bit for bit.

        Raises:
            InputError: If a schedule follows what was measured on the way, so that it cannot be stepped again.
        """
        changes = [*self._changed_groups(runner), *self._changed_schedulers(runner)]
        if not changes:
            return
        text = first_of(changes, SHOWN)
        schedulers = runner.param_schedulers or []
        if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
            raise InputError(
                f'the config and the checkpoint differ in {text}, and a schedule that follows the results '
                'of validations cannot be computed anew: set what the checkpoint has, or start from its '
                'weights, with load_from and another work directory in place of --resume.'
            )
        for group, settings in zip(runner.optim_wrapper.param_groups, self.groups):
            for key in [key for key in group if key.startswith(PREFIXES) and key not in settings]:
                del group[key]
            group.update((key, deepcopy(value)) for key, value in settings.items() if self._is_setting(key))
        for scheduler, state in zip(schedulers, self.schedulers):
            optimizer = scheduler.optimizer
            vars(scheduler).clear()
            vars(scheduler).update(deepcopy(state), optimizer=optimizer)
        step(runner)
        values = ', '.join(f'{group["lr"]:.4g}' for group in runner.optim_wrapper.optimizer.param_groups[:SHOWN])
        runner.logger.info(
            f'The config counts, not the checkpoint: {text}. The learning rate of iteration {runner.iter} is {values}.'
        )

    def _is_setting(self, key: str) -> bool:
        scheduled = {state['param_name'] for state in self.schedulers}
        return key in self.names or key in scheduled or key.startswith(PREFIXES)

    def _changed_groups(self, runner: Runner | FlexibleRunner) -> Iterator[str]:
        """Yield the settings of the optimiser that differ, with their values."""
        reported = set()
        for group, settings in zip(runner.optim_wrapper.param_groups, self.groups):
            there, here = unscheduled(group), unscheduled(settings)
            for key in sorted(here.keys() | there.keys()):
                if not self._is_setting(key) or (key in here and key in there and same(here[key], there[key])):
                    continue
                name = key.removeprefix('initial_')
                values = (here.get(key, here.get(name)), there.get(key, there.get(name)))
                if name not in reported and not same(*values):
                    reported.add(name)
                    yield f'{name} {shown(values[0])} ({shown(values[1])} in the checkpoint)'

    def _changed_schedulers(self, runner: Runner | FlexibleRunner) -> Iterator[str]:
        """Yield the settings of the schedules that differ, with their values."""
        schedulers = runner.param_schedulers or []
        if len(self.saved) != len(schedulers):
            yield f'param_scheduler ({len(self.saved) or "none"} in the checkpoint)'
            return
        for scheduler, here, there in zip(schedulers, self.schedulers, self.saved):
            kind, steps = type(scheduler).__name__, steps_of(runner)[scheduler.by_epoch]
            settings, others = (
                {key for key, value in state.items() if key not in SCHEDULER_PROGRESS and not callable(value)}
                for state in (here, there)
            )
            changed = sorted(key for key in settings & others if not same(here[key], there[key]))
            if settings != others:
                yield f'param_scheduler, now a {kind}'
            elif changed:
                named = [key for key in changed if key not in DERIVED] or changed
                yield from (f'{kind}.{key} {shown(here[key])} ({shown(there[key])})' for key in named)
            elif there.get(SCHEDULER_STEP) != steps:
                yield f'{kind} at step {steps} ({shown(there.get(SCHEDULER_STEP))})'


def step(runner: Runner | FlexibleRunner) -> None:
    """Step schedules that are at their start to the iteration of `runner`, in the order in which a run does."""
    iterations, epochs = (steps_of(runner)[by_epoch] for by_epoch in (False, True))
    schedulers = runner.param_schedulers or []
    every = iterations // epochs if epochs else 0
    try:
        with warnings.catch_warnings():  # of schedules that step before the optimiser does: that is what happened
            warnings.simplefilter('ignore')
            for iteration in range(1, iterations + 1):
                ends = epochs and iteration % every == 0 and iteration // every <= epochs
                for by_epoch in (False, True)[: 1 + bool(ends)]:
                    for scheduler in schedulers:
                        if scheduler.by_epoch == by_epoch:
                            scheduler.step()
    except ValueError as error:  # a schedule of a certain length that has ended before
        raise InputError(
            f'param_scheduler cannot go on at iteration {iterations}: {error}. Set a schedule that is as '
            'long as the run.'
        ) from error


def steps_of(runner: Runner | FlexibleRunner) -> dict[bool, int]:
    """Return how often schedules of iterations (False) and of epochs (True) have been stepped."""
    if not any(isinstance(hook, ParamSchedulerHook) for hook in runner.hooks):
        return {False: 0, True: 0}
    epochs = runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else 0
    return {False: min(runner.iter, runner.max_iters), True: epochs}


def setting_names(optimizer: Any) -> set[str]:
    """Return the names of the settings that an optimiser takes; its groups may also hold what it has learned."""
    parameters = inspect.signature(type(optimizer).__init__).parameters.values()
    names = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return set(optimizer.defaults) if takes_any else names & set(optimizer.defaults)


def unscheduled(group: dict) -> dict[str, Any]:
    """Return the settings of a group of parameters, those that schedules change as they were at the start."""
    settings = {key: value for key, value in group.items() if f'initial_{key}' not in group and key != 'params'}
    if 'initial_momentum' in group and 'betas' in group:  # MMEngine's schedules of momentum change the first of them
        settings['betas'] = tuple(group['betas'])[1:]
    return settings


def same(a: Any, b: Any) -> bool:
    """Return whether two settings are equal, whether they are numbers, tensors or sequences of numbers."""
    return plain(a) == plain(b)


def plain(value: Any) -> Any:
    """Return a setting as plain numbers and tuples."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return tuple(plain(each) for each in value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def shown(value: Any) -> str:
    """Return a setting as text."""
    return f'{plain(value)!r}'
