"""Search for the best noise levels of a multistep sampler (Song et al., 2023, arXiv 2303.01469, Section 3).

The levels lie on a schedule of `num_scales` levels; the first one is that of the sampler, the others are searched for.
A search calls a function for the score of tuples of indices; the function may cache its values.

- `ternary_search`: the paper's greedy search. It finds one level after the other, in descending order, by ternary
  search over the indices, which assumes that the score is a unimodal function of the next level. The released script
  also evaluates both ends of the interval, the level before and the last one of the schedule; they are left out here,
  since a repeated level, or one without noise, adds none. The result is the best evaluated level, not the middle of the
  last interval, which may be worse if the score is noisy.
- `grid_search`: all combinations of a coarse grid, then steps from the best one to its best neighbour, at half the
  distance each time that no neighbour is better. It searches for all levels together, and assumes no unimodality.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import numpy as np

from mmcm.apis.evaluation.evaluation_cache import EvaluationCache
from mmcm.apis.evaluation.scores import plain
from mmcm.apis.evaluation.tester import Tester
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, karras_sigmas
from mmcm.registry import SAMPLERS
from mmcm.samplers import MultistepSampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

Loss = Callable[[tuple[int, ...]], float]  # from the indices of all levels to the value to minimise
SPACINGS = ('karras', 'log')
LOWER = ('distance', 'spatial_distance')  # names of metrics that are better when lower
HIGHER = ('score', 'precision', 'recall', 'accuracy')


def ternary_search(loss: Loss, num_steps: int, last: int) -> tuple[int, ...]:
    """Return the indices, ascending from 0, that the greedy search finds.

    Args:
        loss (Callable): The score of a tuple of indices; lower is better.
        num_steps (int): Number of levels, 2 or more, including the first one, 0.
        last (int): The largest index allowed.
    """
    found: tuple[int, ...] = (0,)
    while len(found) < num_steps:
        tried: dict[int, float] = {}

        def of(index: int, found: tuple[int, ...] = found, tried: dict[int, float] = tried) -> float:
            tried[index] = loss((*found, index))
            return tried[index]

        low, high = found[-1] + 1, last - (num_steps - len(found) - 1)  # leaves room for the next levels
        while high - low > 2:
            third = (high - low) // 3
            if of(low + third) < of(high - third):
                high -= third
            else:
                low += third
        for index in range(low, high + 1):
            of(index)
        found = (*found, min((value, index) for index, value in tried.items())[1])
    return found


def grid_search(loss: Loss, num_steps: int, last: int, num_points: int = 6) -> tuple[int, ...]:
    """Return the indices, ascending from 0, found by descent from the best point of a coarse grid.

    Args:
        loss (Callable): The score of a tuple of indices; lower is better.
        num_steps (int): Number of levels, 2 or more, including the first one, 0.
        last (int): The largest index allowed.
        num_points (int): Points of the coarse grid, the same for all levels, at least `num_steps` - 1.
    """
    points = np.unique(np.linspace(1, last, min(num_points, last)).round().astype(int)).tolist()
    stride = max(1, last // len(points))
    best = min(((0, *rest) for rest in combinations(points, num_steps - 1)), key=loss)
    while stride:
        around = product((0, -stride, stride), repeat=num_steps - 1)
        moved = [(0, *(index + step for index, step in zip(best[1:], steps))) for steps in around]
        ascending = [point for point in moved if point[-1] <= last and all(a < b for a, b in pairwise(point))]
        next_best = min(ascending, key=loss)
        if next_best == best:
            stride //= 2
        best = next_best
    return best


METHODS: dict[str, Callable[..., tuple[int, ...]]] = dict(ternary=ternary_search, grid=grid_search)


@dataclass(frozen=True)
class SearchResult:
    """Evaluations of a search, and the best of them.

    Attributes:
        values (dict[tuple[int, ...], float | None]): The metric by the indices of the levels; None if it is not finite.
        best (tuple[int, ...]): The best indices.
        sampler (dict): Config of the sampler with the best levels.
        num_new (int): Number of evaluations that the cache did not have.
    """

    values: dict[tuple[int, ...], float | None]
    best: tuple[int, ...]
    sampler: dict
    num_new: int


def search_levels(
    tester: Tester,
    cache: EvaluationCache,
    sampler: dict,
    levels: Sequence[float],
    metric: str,
    lower: bool = True,
    num_steps: int = 2,
    method: str = 'ternary',
    num_points: int = 6,
) -> SearchResult:
    """Search for the `levels` at which a multistep sampler has the best value of a metric.

    Args:
        tester (Tester): The model and its metrics.
        cache (EvaluationCache): Earlier evaluations, to which new ones are added.
        sampler (dict): Config of a `MultistepSampler`.
        levels (Sequence[float]): The candidates; see `levels_of`.
        metric (str): A metric of the tester, such as 'frechet/distance'.
        lower (bool): Whether lower values are better.
        num_steps (int): Number of levels, 2 or more.
        method (str): A key of `METHODS`.
        num_points (int): Points of the coarse grid of the method 'grid'.

    Raises:
        InputError: If there is no such metric, or it is not finite at the best levels.
    """
    config, num_cached = tester.config, cache.num_new
    settings = plain(
        dict(
            weights=tester.weights,
            ema=tester.ema,
            model={key: value for key, value in config.model.items() if key != 'sampler'},
            requests=config.test_dataloader.dataset,
            batch_size=config.test_dataloader.batch_size,
            evaluator=config.test_evaluator,
            fingerprints=tester.fingerprints(metric),
            prefix=metric.rpartition('/')[0],
        )
    )
    values: dict[tuple[int, ...], float | None] = {}

    def loss(indices: tuple[int, ...]) -> float:
        at = sampler_at(sampler, [levels[index] for index in indices])
        metrics = cache.get(
            {**settings, 'sampler': plain(at)}, lambda: plain(tester.measure('searched', at, metric=metric).metrics)
        )
        if metric not in metrics:
            raise InputError(f'the config has no metric {metric!r}: it has {", ".join(metrics)}.')
        value = values[indices] = metrics[metric]
        if value is None:  # not finite
            return float('inf')
        return value if lower else -value

    options = dict(num_points=num_points) if method == 'grid' else {}
    best = METHODS[method](loss, num_steps, len(levels) - 1, **options)
    if values[best] is None:
        raise InputError(f'{metric} is not finite, whatever the levels are: look at the checkpoint.')
    found = sampler_at(sampler, [levels[index] for index in best])
    return SearchResult(values, best, found, cache.num_new - num_cached)


def levels_of(sampler: dict, num_scales: int | None = None, spacing: str = 'karras') -> list[float]:
    """Return the candidate noise levels: the first one is that of the sampler, the last one is above zero.

    Args:
        sampler (dict): Config of a `MultistepSampler`.
        num_scales (int, optional): Number of levels of the schedule, including its end without noise; by default that
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
    """Return the config of the `sampler` with the levels `sigmas` in place of its schedule.

    The schedule of a released checkpoint, which replaces indices, then has no effect.
    """
    kept = {key: value for key, value in sampler.items() if key not in ('indices', 'num_scales', 'sigmas')}
    return {**kept, 'sigmas': tuple(float(sigma) for sigma in sigmas)}


def is_lower_better(metric: str) -> bool:
    """Return whether a `metric`, such as 'frechet/distance', is better when lower; raise an InputError if unknown."""
    name = metric.rpartition('/')[2]
    if name not in LOWER + HIGHER:
        raise InputError(
            f'it is not known whether {metric} is better when lower or higher: say --better lower or --better higher.'
        )
    return name in LOWER


def snippet(base: str, sampler: dict, checkpoint: str, note: str) -> str:
    """Return a config file with the best sampler.

    Args:
        base (str): Path of the config of the search.
        sampler (dict): Config of the sampler, all of it.
        checkpoint (str): The checkpoint of the search.
        note (str): A comment.
    """
    settings = ', '.join(f'{key}={value!r}' for key, value in {'_delete_': True, **sampler}.items())
    return f'# {note}\n_base_ = {base!r}\ncheckpoint = {checkpoint!r}\nmodel = dict(sampler=dict({settings}))\n'
