import pytest
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmcm.datasets.samplers import WholeBatches, whole_batches
from mmcm.utils.errors import InputError


def batches(monkeypatch, num_items, batch_size, rank=0, world_size=1):
    monkeypatch.setattr(whole_batches, 'get_dist_info', lambda: (rank, world_size))
    return WholeBatches(DefaultSampler(range(num_items), shuffle=False, seed=0), batch_size)


@pytest.mark.parametrize(
    'num_items, batch_size, world_size', [(10, 3, 1), (10, 3, 2), (12, 3, 2), (2, 3, 2), (7, 1, 3)]
)
def test_processes_together_have_the_batches_of_one(monkeypatch, num_items, batch_size, world_size):
    alone = list(batches(monkeypatch, num_items, batch_size))
    assert [index for batch in alone for index in batch] == list(range(num_items))
    assert {len(batch) for batch in alone[:-1]} <= {batch_size}
    for rank in range(world_size):
        mine = batches(monkeypatch, num_items, batch_size, rank, world_size)
        assert list(mine) == alone[rank::world_size] and len(mine) == len(alone[rank::world_size])
        assert list(mine) == list(mine)  # it may be gone through again


@pytest.mark.parametrize('batch_size', [0, -1, 1.5, None])
def test_batch_size_that_is_none_is_refused(monkeypatch, batch_size):
    with pytest.raises(InputError, match='batch_size has to be an integer of at least 1'):
        batches(monkeypatch, 10, batch_size)


def test_sampler_that_shuffles_is_refused():
    with pytest.raises(InputError, match='shuffle=False'):
        WholeBatches(DefaultSampler(range(10), shuffle=True, seed=0), 2)


def test_loader_of_mmengine_takes_it():
    config = Config(
        dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_sampler=dict(type='WholeBatches'),
            dataset=dict(type='SamplingRequests', num_samples=10, num_classes=10, labels='balanced'),
        )
    )
    with DefaultScope.overwrite_default_scope('mmcm'):
        loader = Runner.build_dataloader(config, seed=0)
    drawn = [[sample.sample_idx for sample in batch['data_samples']] for batch in loader]
    assert drawn == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] and len(loader) == 3
