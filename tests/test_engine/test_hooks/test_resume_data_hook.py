"""What a resumed run reads. That it ends as an undisturbed one does: test_resume.py."""

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.datasets import DigitsDataset
from mmcm.engine.hooks.non_finite_guard_hook import images_of
from support.runs import config

BATCH = 8  # of runs.config
READ = []  # batches of indices


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    """Let the data set note what is asked for."""
    fetch = DigitsDataset.__getitems__

    def fetch_and_note(self, indices):
        READ.append(list(indices))
        return fetch(self, indices)

    monkeypatch.setattr(DigitsDataset, '__getitems__', fetch_and_note)


class Seen(Hook):
    """Note the images of each iteration."""

    def __init__(self):
        self.images = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.images.append(data_batch['inputs'].clone())


def run(folder, iterations, sampler='ResumableSampler', resume=False, loader=(), **changes):
    """Train; return the images of each iteration, and the runner."""
    cfg = config(folder, iterations=iterations)
    cfg.merge_from_dict(changes)
    cfg.default_hooks.resume_data = dict(type='ResumeDataHook')
    cfg.default_hooks.checkpoint.interval = 6
    cfg.train_dataloader.update(sampler=dict(type=sampler, shuffle=True), **dict(loader))
    cfg.resume = resume
    cfg.experiment_name += str(resume)
    runner, seen = Runner.from_cfg(cfg), Seen()
    runner.register_hook(seen)
    READ.clear()
    runner.train()
    return torch.stack(seen.images), runner


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp('undisturbed'), 10)[0]


def test_no_image_of_the_past_is_read(tmp_path, undisturbed):
    run(tmp_path, 6)
    images, runner = run(tmp_path, 10, resume=True)
    assert len(READ) == 4
    assert torch.equal(images, undisturbed[6:])
    order = [index for _, index in zip(range(10 * BATCH), InfiniteSampler(DigitsDataset(), seed=0))]
    assert sum(READ, []) == order[6 * BATCH :]
    assert images_of(runner.train_dataloader, 7) == order[7 * BATCH : 8 * BATCH]  # as the guard names them
    assert 'go on at image 48' in log_of(tmp_path)


@pytest.mark.parametrize('persistent', [False, True])
def test_with_workers(tmp_path, undisturbed, persistent):
    run(tmp_path, 6)
    images, _ = run(tmp_path, 10, resume=True, loader=dict(num_workers=2, persistent_workers=persistent))
    assert torch.equal(images, undisturbed[6:])


def test_with_micro_batches(tmp_path, undisturbed):
    run(tmp_path, 6)
    images, _ = run(tmp_path, 10, resume=True, train_cfg=dict(type='MicroBatchTrainLoop', micro_batch=4))
    assert torch.equal(images, undisturbed[6:]) and len(READ) == 4


def test_with_accumulated_gradients(tmp_path, undisturbed):
    optim_wrapper = dict(type='OptimWrapper', accumulative_counts=2, optimizer=dict(type='SGD', lr=0.1))
    run(tmp_path, 6, optim_wrapper=optim_wrapper)
    images, _ = run(tmp_path, 10, resume=True, optim_wrapper=optim_wrapper)
    assert torch.equal(images, undisturbed[6:]) and len(READ) == 4


def test_infinite_sampler_reads_all_once_more_and_the_log_says_so(tmp_path, undisturbed):
    run(tmp_path, 6, sampler='InfiniteSampler')
    images, _ = run(tmp_path, 10, sampler='InfiniteSampler', resume=True)
    assert torch.equal(images, undisturbed[6:]) and len(READ) == 10
    assert 'InfiniteSampler begins at the first. To go on at once' in log_of(tmp_path)


def test_a_new_run_is_left_alone(tmp_path, undisturbed):
    images, _ = run(tmp_path, 2)
    assert torch.equal(images, undisturbed[:2])
    assert 'go on at image' not in log_of(tmp_path)


def log_of(folder):
    return ''.join(path.read_text() for path in folder.rglob('*.log'))
