"""Check that loops over data come to an end."""

import copy
import random
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, FlexibleRunner, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import built_loops
from mmcm.utils.random_state import undisturbed

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
PATIENCE = 16  # passes over the data, after which a sampler that still yields images is endless


def check_loops(runner: Runner | FlexibleRunner) -> None:
    """Raise an InputError if a loop that `runner` has built waits for the end of endless data."""
    for loader, loop in built_loops(runner).items():
        check_loop(loop, loader)


def check_loop(loop: BaseLoop, name: str) -> None:
    """Raise an InputError if `loop` waits for the end of endless data.

    Loops that count iterations begin anew at the end of the data. MMEngine's loops over epochs, validation and tests
    end with the loader, whatever its length is.

    Args:
        loop (BaseLoop): The loop; one that is not MMEngine's passes.
        name (str): The name of its loader in the config.
    """
    if not isinstance(loop, (EpochBasedTrainLoop, ValLoop, TestLoop)):
        return
    sampler = endless_sampler(loop.dataloader)
    if sampler is None:
        return
    way = ''
    if isinstance(loop, EpochBasedTrainLoop):
        way = ", or train_cfg=dict(type='IterBasedTrainLoop', max_iters=...), which counts iterations"
    shuffle = isinstance(loop, EpochBasedTrainLoop)
    raise InputError(
        f'{type(loop).__name__} waits for the end of the data, and {name} has none with its sampler '
        f"{sampler}: set {name}.sampler=dict(type='DefaultSampler', shuffle={shuffle}){way}."
    )


def endless_sampler(loader: DataLoader) -> str | None:
    """Return the name of the sampler of `loader` that has no end, None if all end."""
    outer = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    inner = getattr(outer, 'sampler', None)
    if isinstance(inner, InfiniteSampler) and ends(outer):  # where its sampler does
        return type(inner).__name__
    return type(outer).__name__ if isinstance(outer, InfiniteSampler) or gives_on(outer) else None


def gives_on(sampler: Any) -> bool:
    """Return whether `sampler` yields more than many times its length; those of torch and MMEngine are known to end.

    It iterates over a copy, with copies of the generators.
    """
    parts = sampler, getattr(sampler, 'sampler', None)
    if all(part is None or ends(part) for part in parts) or not hasattr(sampler, '__len__'):
        return False
    sampler = copied(sampler)
    if getattr(sampler, 'sampler', None) is not None:
        sampler.sampler = copied(sampler.sampler)
    most = PATIENCE * max(len(sampler), 1)
    with undisturbed():
        return sum(1 for _ in islice(iter(sampler), most + 1)) > most


def ends(sampler: Iterable) -> bool:
    """Return whether `sampler` is iterated over as one of torch or MMEngine that ends."""
    module = getattr(type(sampler).__iter__, '__module__', '')
    return module.split('.')[0] in ('torch', 'mmengine') and not isinstance(sampler, InfiniteSampler)


def copied(sampler: Any) -> Any:
    """Return a copy of a sampler whose generators are copies, too; the data set is the same."""
    sampler = copy.copy(sampler)
    for name, value in list(getattr(sampler, '__dict__', {}).items()):
        if isinstance(value, torch.Generator):
            clone = torch.Generator(value.device)
            clone.set_state(value.get_state())
            setattr(sampler, name, clone)
        elif isinstance(value, GENERATORS):
            setattr(sampler, name, copy.deepcopy(value))
    return sampler
