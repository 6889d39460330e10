"""Search for the noise levels by which a multistep sampler draws best (Song et al., 2023, arXiv 2303.01469, Section 3).

The levels lie on a schedule of `num_scales` levels; the first one is that of the sampler, the others are searched for.
A search asks a function for the score of tuples of indices, and the function is free to remember.

- `ternary_search`: the paper's greedy search. One level after the other, each below those that are found already, by
  ternary search over the indices, which takes the score to be a unimodal function of the next level. The released
  script also draws at both ends of the interval, the level before and the last one of the schedule; a level given
  twice, or without noise, is no other level here, and they are left out. Of what it has drawn for a level, the best
  one is taken, not the middle of the last interval: where the score is noisy, that one may be worse.
- `grid_search`: all combinations of a coarse grid, then steps from the best one to the best of its neighbours, half as
  far apart each time that there is none. It searches for all levels together, and takes nothing to be unimodal.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np

from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, karras_sigmas
from mmcm.registry import SAMPLERS
from mmcm.samplers import MultistepSampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

Loss = Callable[[tuple[int, ...]], float]  # from the indices of all levels to what is to be small
SPACINGS = ('karras', 'log')
LOWER = ('distance', 'spatial_distance')  # names of metrics that are better when lower
HIGHER = ('score', 'precision', 'recall', 'accuracy')


def ternary_search(loss: Loss, num_steps: int, last: int) -> tuple[int, ...]:
    """Return the indices, ascending from 0, that the greedy search finds.

    Args:
        loss (Callable): The score of a tuple of indices; lower is better.
        num_steps (int): How many levels, 2 or more, the first one, 0, among them.
        last (int): The largest index that may be found.
    """
    found = (0,)
    while len(found) < num_steps:
        tried = {}

        def of(index: int, found: tuple[int, ...] = found, tried: dict = tried) -> float:
            tried[index] = loss((*found, index))
            return tried[index]

        low, high = found[-1] + 1, last - (num_steps - len(found) - 1)  # room is left for the levels to come
        while high - low > 2:
            third = (high - low) // 3
            if of(low + third) < of(high - third):
                high -= third
            else:
                low += third
        for index in range(low, high + 1):
            of(index)
        found = (*found, min(tried, key=lambda index: (tried[index], index)))
    return found


def grid_search(loss: Loss, num_steps: int, last: int, num_points: int = 6) -> tuple[int, ...]:
    """Return the indices, ascending from 0, that the best neighbours of the best point of a coarse grid lead to.

    Args:
        loss (Callable): The score of a tuple of indices; lower is better.
        num_steps (int): How many levels, 2 or more, the first one, 0, among them.
        last (int): The largest index that may be found.
        num_points (int): Points of the coarse grid, for all levels the same ones, at least `num_steps` - 1.
    """
    points = np.unique(np.linspace(1, last, min(num_points, last)).round().astype(int)).tolist()
    stride = max(1, last // len(points))
    best = smallest(loss, ((0, *rest) for rest in combinations(points, num_steps - 1)))
    while stride:
        around = product((0, -stride, stride), repeat=num_steps - 1)
        moved = [(0, *(index + step for index, step in zip(best[1:], steps))) for steps in around]
        next_best = smallest(loss, (point for point in moved if point[-1] <= last and is_ascending(point)))
        if next_best == best:
            stride //= 2
        best = next_best
    return best


def smallest(loss: Loss, points: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the first one of `points` with the smallest loss."""
    return min(points, key=loss)


def is_ascending(indices: Sequence[int]) -> bool:
    """Return whether each index is larger than the one before."""
    return all(a < b for a, b in zip(indices, indices[1:]))


METHODS = dict(ternary=ternary_search, grid=grid_search)


def levels_of(sampler: dict, num_scales: int | None = None, spacing: str = 'karras') -> list[float]:
    """Return the noise levels that may be found: the first one is that of the sampler, the last one has noise left.

    Args:
        sampler (dict): Config of a `MultistepSampler`.
        num_scales (int, optional): Number of levels of the schedule, its end without noise among them; by default that
            of the sampler.
        spacing (str): 'karras', the schedule of the models, or 'log', equal factors between levels.

    Raises:
        InputError: If the sampler is another one, or the schedule has no number of levels.
    """
    built = SAMPLERS.build(sampler)
    if not isinstance(built, MultistepSampler):
        raise InputError(
            f'{type(built).__name__} has no levels to search for: choose a config whose model.sampler is '
            'a MultistepSampler.'
        )
    num_scales = num_scales or sampler.get('num_scales')
    if num_scales is None:
        raise InputError(
            'the sampler of the config has no schedule: say of how many levels, for example --num-scales 40.'
        )
    check_count('--num-scales', num_scales, least=3)
    first = built.first_sigma
    last = sampler.get('sigma_min', SIGMA_MIN) or SIGMA_MIN
    if spacing == 'log':
        levels = np.geomspace(first, last, num_scales)
    else:
        levels = karras_sigmas(num_scales, last, sampler.get('sigma_max', SIGMA_MAX), sampler.get('rho', RHO)).numpy()
        levels = np.concatenate([[first], levels[1:][levels[1:] < first]])
    return levels[:-1].tolist()


def sampler_at(sampler: dict, sigmas: Sequence[float]) -> dict:
    """Return the config of the `sampler` with other levels, which stand in it as they are, whatever its schedule was.

    The schedule of a released checkpoint, which replaces indices, then has no part in it.
    """
    kept = {key: value for key, value in sampler.items() if key not in ('indices', 'num_scales', 'sigmas')}
    return {**kept, 'sigmas': tuple(float(sigma) for sigma in sigmas)}


def is_lower_better(metric: str) -> bool:
    """Return whether a `metric`, such as 'frechet/distance', is better when lower; an InputError if unknown."""
    name = metric.rpartition('/')[2]
    if name not in LOWER + HIGHER:
        raise InputError(
            f'it is not known whether {metric} is better when lower or higher: say --better lower or --better higher.'
        )
    return name in LOWER


def snippet(base: str, sampler: dict, checkpoint: str, note: str) -> str:
    """Return a config with the sampler that was found.

    Args:
        base (str): Path of the config that was searched with.
        sampler (dict): Config of the sampler, all of it.
        checkpoint (str): The checkpoint that it was found for.
        note (str): A comment.
    """
    return (
        f'# {note}\n_base_ = {base!r}\ncheckpoint = {checkpoint!r}\n'
        f'model = dict(sampler={python_dict({"_delete_": True, **sampler})})\n'
    )


def python_dict(values: dict[str, Any]) -> str:
    """Return a dict of plain values as a call of `dict`."""
    return f'dict({", ".join(f"{key}={value!r}" for key, value in values.items())})'
