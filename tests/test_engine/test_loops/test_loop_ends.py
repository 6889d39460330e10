import itertools
import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, Sampler, SequentialSampler

from mmcm.apis.evaluation import tester as testing
from mmcm.cli.train import train
from mmcm.datasets.samplers import ResumableSampler
from mmcm.engine import LoopEndHook
from mmcm.engine.loops.loop_ends import endless_sampler
from mmcm.registry import DATA_SAMPLERS
from mmcm.utils.errors import InputError
from support import runs
from support.digits import model_config

DATA = list(range(10))


@DATA_SAMPLERS.register_module()
class Cycling(Sampler):
    """A sampler of a user without an end, which is not MMEngine's; it draws from a generator of its own."""

    def __init__(self, dataset, shuffle=True, seed=0):
        self.dataset = dataset
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        while True:
            yield from torch.randperm(len(self), generator=self.generator).tolist()


class Epoch:
    """A batch sampler of a user that takes as much as one epoch from a sampler without end."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return len(self.sampler)

    def __iter__(self):
        return ([index] for index in itertools.islice(self.sampler, len(self)))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(DATA)


class Repeating(Cycling):
    """A sampler that gives each image three times, which its length does not say."""

    def __iter__(self):
        yield from 3 * torch.randperm(len(self), generator=self.generator).tolist()


@pytest.mark.parametrize('make, expected', [
    (lambda: dict(sampler=InfiniteSampler(DATA)), 'InfiniteSampler'),
    (lambda: dict(sampler=ResumableSampler(DATA)), 'ResumableSampler'),
    (lambda: dict(batch_sampler=BatchSampler(ResumableSampler(DATA), 2, False)), 'ResumableSampler'),
    (lambda: dict(batch_sampler=BatchSampler(Cycling(DATA), 2, False)), 'BatchSampler'),
    (lambda: dict(sampler=Cycling(DATA)), 'BatchSampler'),
    (lambda: dict(sampler=Cycling(DATA), batch_size=None), 'Cycling'),
    (lambda: dict(batch_sampler=Epoch(InfiniteSampler(DATA))), None),
    (lambda: dict(sampler=Repeating(DATA)), None),
    (lambda: dict(sampler=DefaultSampler(DATA)), None),
    (lambda: dict(sampler=RandomSampler(DATA)), None),
    (lambda: dict(sampler=SequentialSampler(DATA), batch_size=None), None),
    (lambda: dict(batch_sampler=[[0, 1], [2]]), None),
    (lambda: dict(dataset=Stream()), None),
])  # yapf: disable
def test_samplers_without_end_are_known(make, expected):
    assert endless_sampler(DataLoader(**{'dataset': DATA, **make()})) == expected


@pytest.mark.parametrize('kind', [Cycling, Repeating])
def test_question_takes_nothing_from_the_sampler(kind):
    asked, not_asked = kind(DATA), kind(DATA)
    state = torch.get_rng_state()
    endless_sampler(DataLoader(DATA, sampler=asked))
    assert list(itertools.islice(asked, 20)) == list(itertools.islice(not_asked, 20))
    assert torch.equal(torch.get_rng_state(), state)


def trained(cfg):
    cfg.setdefault('resume', False)
    return train(cfg)


def epochs(tmp_path, sampler, **changes):
    cfg = runs.config(tmp_path, **changes)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.train_dataloader.update(num_batch_per_epoch=3, sampler=dict(type=sampler, shuffle=True))
    return cfg


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'ResumableSampler', 'Cycling'])
def test_epochs_of_data_without_end_are_refused(tmp_path, sampler):
    with pytest.raises(
        InputError,
        match=r"EpochBasedTrainLoop waits.* set train_dataloader.sampler=dict\(type='Default"
        r"Sampler', shuffle=True\), or train_cfg=dict\(type='IterBasedTrainLoop'",
    ):
        trained(epochs(tmp_path, sampler))


def test_epochs_of_data_that_end_are_trained(tmp_path):
    runner = trained(epochs(tmp_path, 'DefaultSampler'))
    assert runner.iter == 3 == len(runner.train_dataloader)


def test_iterations_go_on_where_data_end(tmp_path):
    cfg = runs.config(tmp_path, iterations=4)
    cfg.train_dataloader.update(num_batch_per_epoch=3, sampler=dict(type='DefaultSampler', shuffle=True))
    assert trained(cfg).iter == 4


def test_hook_of_a_config_refuses_too(tmp_path):
    cfg = epochs(tmp_path, 'InfiniteSampler')
    cfg.default_hooks.loop_end = dict(type='LoopEndHook')
    with pytest.raises(InputError, match='waits for the end'):
        Runner.from_cfg(cfg).train()


def loader(sampler):
    return dict(
        batch_size=4,
        sampler=dict(type=sampler, shuffle=False),
        dataset=dict(type='SamplingRequests', num_samples=4, num_classes=10),
        collate_fn=dict(type='pseudo_collate'),
    )


METRICS = dict(type='SlicedWasserstein', reference=dict(type='DigitsDataset'))


def test_validation_by_data_without_end_is_refused(tmp_path):
    cfg = runs.config(tmp_path, val_dataloader=loader('InfiniteSampler'), val_cfg=dict(), val_evaluator=METRICS)
    with pytest.raises(InputError, match=r'ValLoop waits.*val_dataloader.*shuffle=False\)\.$'):
        trained(cfg)


def test_test_of_data_without_end_is_refused_before_weights_are_read(tmp_path):
    cfg = Config(
        dict(
            default_scope='mmcm',
            work_dir=str(tmp_path),
            model=model_config(),
            test_cfg=dict(),
            test_evaluator=METRICS,
            test_dataloader=loader('InfiniteSampler'),
        )
    )
    (tmp_path / 'none.pth').touch()
    with pytest.raises(InputError, match='TestLoop waits .* test_dataloader has none with its sampler InfiniteSampler'):
        testing.Tester(cfg, str(tmp_path / 'none.pth'))


def test_resumed_epochs_are_told_nothing_of_images_read_again(tmp_path, caplog):
    cfg = epochs(tmp_path, 'DefaultSampler')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=True, interval=1)
    cfg.default_hooks.resume_data = dict(type='ResumeDataHook')
    trained(cfg)
    cfg.train_cfg.max_epochs, cfg.resume = 2, True
    with caplog.at_level(logging.WARNING):
        assert trained(cfg).iter == 6
    assert 'read once more' not in caplog.text


def test_hook_is_added_once(tmp_path):
    cfg = runs.config(tmp_path)
    cfg.default_hooks.loop_end = dict(type='LoopEndHook')
    runner = Runner.from_cfg(cfg)
    LoopEndHook.add_to(runner)
    assert sum(isinstance(hook, LoopEndHook) for hook in runner.hooks) == 1
