from itertools import combinations, pairwise

import numpy as np
import pytest

from mmcm.apis.evaluation.timestep_search import (
    grid_search,
    is_lower_better,
    levels_of,
    sampler_at,
    snippet,
    ternary_search,
)
from mmcm.registry import SAMPLERS
from mmcm.utils.errors import InputError

SAMPLER = dict(type='MultistepSampler', indices=(0,), num_scales=40)


class Counting:
    """A function of indices that notes what it was asked for."""

    def __init__(self, function):
        self.function = function
        self.asked = []

    def __call__(self, indices):
        assert indices[0] == 0 and all(a < b for a, b in pairwise(indices))
        self.asked.append(indices)
        return self.function(indices)


@pytest.mark.parametrize('last', [1, 2, 3, 4, 5, 17, 38, 150])
def test_ternary_search_finds_the_minimum_of_every_unimodal_function(last):
    for goal in range(1, last + 1):
        loss = Counting(lambda indices, goal=goal: abs(indices[1] - goal) ** 0.5)
        assert ternary_search(loss, 2, last) == (0, goal)
        assert max(index for _, index in loss.asked) <= last
        assert len(set(loss.asked)) <= 2 * np.log(max(last, 2)) / np.log(1.5) + 3


def test_ternary_search_goes_level_by_level_and_leaves_room():
    """Each level goes below those that are found; the first of three stays where the last ones still fit."""
    loss = Counting(lambda indices: -indices[-1])  # the later, the better
    assert ternary_search(loss, 4, last=10) == (0, 8, 9, 10)
    lengths = [len(indices) for indices in loss.asked]
    assert lengths == sorted(lengths)


def test_ternary_search_takes_the_best_that_was_drawn():
    values = {1: 3.0, 2: 0.0, 3: 5.0, 4: 6.0, 5: 2.0, 6: 1.9, 7: 1.0}  # not unimodal: the interval closes around 7
    loss = Counting(lambda indices: values[indices[1]])
    found = ternary_search(loss, 2, last=7)
    assert values[found[1]] == min(values[index] for _, index in loss.asked)


@pytest.mark.parametrize('num_steps, last', [(2, 1), (2, 17), (3, 17), (4, 17), (3, 100), (4, 3)])
def test_grid_search_finds_the_minimum_of_a_bowl(num_steps, last):
    """Also one that lies askew, where one level after the other is not enough."""
    goal = np.sort(np.random.default_rng(0).choice(np.arange(1, last + 1), num_steps - 1, replace=False))

    def bowl(indices):
        apart = np.asarray(indices[1:]) - goal
        return float((apart**2).sum() + 0.9 * apart.sum() ** 2)

    found = grid_search(Counting(bowl), num_steps, last)
    everything = ((0, *rest) for rest in combinations(range(1, last + 1), num_steps - 1)) if last < 50 else [(0, *goal)]
    assert bowl(found) == min(map(bowl, everything))


def test_grid_search_finds_the_better_one_of_two_valleys():
    """A ternary search, which sees one valley only, goes astray here."""
    valleys = Counting(lambda indices: min(abs(indices[1] - 4), abs(indices[1] - 30) - 1.5))
    assert grid_search(valleys, 2, 38) == (0, 30)
    assert len(set(valleys.asked)) < 20


def test_levels_are_those_of_the_schedule_without_its_end():
    levels = levels_of(SAMPLER)
    assert len(levels) == 39 and levels[0] == 80
    for indices in ((0, 22), (0, 1, 38)):
        at = SAMPLERS.build(sampler_at(SAMPLER, [levels[index] for index in indices]))
        assert at.sigmas == SAMPLERS.build(dict(SAMPLER, indices=indices)).sigmas


def test_levels_by_equal_factors():
    levels = levels_of(dict(type='MultistepSampler', sigmas=(50.0, 2.0), sigma_min=0.05), num_scales=4, spacing='log')
    assert levels == pytest.approx([50, 5, 0.5])


@pytest.mark.parametrize(
    'sampler, num_scales, expected',
    [
        (dict(type='HeunSampler', num_steps=18), None, 'HeunSampler has no levels'),
        (dict(type='MultistepSampler', indices=(0,)), None, '--num-scales 40'),
        (SAMPLER, 2, 'at least 3'),
    ],
)
def test_sampler_without_levels_is_refused(sampler, num_scales, expected):
    with pytest.raises(InputError, match=expected):
        levels_of(sampler, num_scales)


def test_direction_of_a_metric():
    assert is_lower_better('frechet/distance') and is_lower_better('kernel/distance')
    assert not is_lower_better('manifold/recall') and not is_lower_better('inception/score')
    with pytest.raises(InputError, match='--better lower'):
        is_lower_better('mine/thing')


def test_snippet_is_a_config_with_that_sampler_alone(tmp_path):
    from mmengine.config import Config

    (tmp_path / 'base.py').write_text(
        "model = dict(type='M', sampler=dict(type='MultistepSampler', indices=(0, ), "
        "num_scales=40))\ncheckpoint = 'old'\n"
    )
    (tmp_path / 'found.py').write_text(
        snippet(str(tmp_path / 'base.py'), sampler_at(SAMPLER, (80.0, 1.0881706365452793)), 'new', 'a note')
    )
    config = Config.fromfile(tmp_path / 'found.py')
    assert config.model.to_dict() == dict(
        type='M', sampler=dict(type='MultistepSampler', sigmas=(80.0, 1.0881706365452793))
    )
    assert config.checkpoint == 'new'
