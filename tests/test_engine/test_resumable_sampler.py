import time
from itertools import islice

import pytest
from mmengine.dataset import InfiniteSampler

from mmcm.engine import ResumableSampler


def sampler_of(kind, rank=0, world_size=1, size=7, **options):
    sampler = kind(range(size), **options)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


@pytest.mark.parametrize(('rank', 'world_size', 'size', 'shuffle'), [
    (0, 1, 7, True), (0, 1, 7, False), (0, 2, 8, True), (1, 2, 7, True), (2, 3, 7, False), (4, 5, 3, True)])
def test_order_is_that_of_the_infinite_sampler_from_any_position(rank, world_size, size, shuffle):
    options = dict(rank=rank, world_size=world_size, size=size, shuffle=shuffle, seed=3)
    expected = list(islice(sampler_of(InfiniteSampler, **options)._indices_of_rank(), 60))
    sampler = sampler_of(ResumableSampler, **options)
    for start in range(30):
        sampler.start = start
        assert list(islice(sampler, 30)) == expected[start:start + 30]
    assert len(sampler) == size


def test_another_seed_is_another_order():
    first, other = (list(islice(sampler_of(ResumableSampler, size=50, seed=seed), 50)) for seed in (0, 1))
    assert first != other and sorted(first) == sorted(other) == list(range(50))


def test_a_late_position_is_reached_by_epochs():
    """A thousand passes over 100 000 images: what one by one would take minutes."""
    sampler = sampler_of(ResumableSampler, size=100_000, seed=0)
    start = time.perf_counter()
    next(sampler.indices_from(10**8 + 5))
    assert time.perf_counter() - start < 5
