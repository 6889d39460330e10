from itertools import islice

import pytest
import torch
from mmengine.dataset import InfiniteSampler

from mmcm.datasets.samplers import ResumableSampler


def sampler_of(kind, rank=0, world_size=1, size=7, **options):
    sampler = kind(range(size), **options)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


@pytest.mark.parametrize(
    ('rank', 'world_size', 'size', 'shuffle'),
    [(0, 1, 7, True), (0, 1, 7, False), (0, 2, 8, True), (1, 2, 7, True), (2, 3, 7, False), (4, 5, 3, True)],
)
def test_order_is_that_of_the_infinite_sampler_from_any_position(rank, world_size, size, shuffle):
    options = dict(rank=rank, world_size=world_size, size=size, shuffle=shuffle, seed=3)
    expected = list(islice(sampler_of(InfiniteSampler, **options)._indices_of_rank(), 60))
    sampler = sampler_of(ResumableSampler, **options)
    for start in range(30):
        sampler.start = start
        assert list(islice(sampler, 30)) == expected[start : start + 30]
    assert len(sampler) == size


def test_another_seed_is_another_order():
    first, other = (list(islice(sampler_of(ResumableSampler, size=50, seed=seed), 50)) for seed in (0, 1))
    assert first != other and sorted(first) == sorted(other) == list(range(50))


def test_a_late_position_is_reached_by_epochs(monkeypatch):
    """After 1000 passes over 100 images, 1001 orders are drawn, and the indices of the last alone are read."""
    orders, draw = [], torch.randperm
    monkeypatch.setattr(
        torch, 'randperm', lambda *args, **options: orders.append(Order(draw(*args, **options))) or orders[-1]
    )
    sampler = sampler_of(ResumableSampler, size=100, seed=0)
    assert next(sampler.indices_from(10**5 + 5)) == orders[-1].order[5]
    assert len(orders) == 1001 and [order.reads for order in orders] == [0] * 1000 + [1]


class Order:
    """The order of an epoch, which counts how often it is read."""

    def __init__(self, order):
        self.order, self.reads = order, 0

    def __getitem__(self, part):
        self.reads += 1
        return self.order[part]
