import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.engine.loops.micro_batch_train_loop import rows_of
from mmcm.objectives.base import Objective
from mmcm.registry import OBJECTIVES
from mmcm.structures import DataSample, labels_of
from mmcm.utils.errors import InputError
from support.runs import config


@OBJECTIVES.register_module(name='TestReconstruction', force=True)
class Reconstruction(Objective):
    """Nothing in it is random, so that parts of a batch add up to the whole."""

    needs_target = True

    def forward(self, networks, x0, labels, step):
        sigma = torch.linspace(0.5, 2, 10)[labels]
        return dict(loss=(networks.online(x0, sigma, labels) - x0).square().flatten(1).mean(1))

    def target_decay(self, step):
        return 0.9 - 0.1 * step


class Watch(Hook):
    """Note learning rates, steps and losses."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.rates, self.steps, self.losses = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(runner.model.step)
        self.losses.append(outputs['loss'].detach().item())


def run(folder, micro_batch=None, iterations=4, **changes):
    cfg = config(
        folder,
        iterations=iterations,
        param_scheduler=dict(type='LinearLR', by_epoch=False, begin=1, end=4, start_factor=1.0, end_factor=0.1),
        **changes,
    )
    cfg.model.objective = dict(type='TestReconstruction')
    if micro_batch:
        cfg.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=micro_batch)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return runner, watch


def assert_same_weights(runner, other):
    ours, theirs = runner.model.state_dict(), other.model.state_dict()
    assert {key.split('.')[0] for key in ours} == {'denoiser', 'target', 'emas'}
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp('whole'))


@pytest.mark.parametrize('micro_batch', [2, 8])
def test_micro_batches_change_neither_steps_nor_rates_nor_weights(tmp_path, whole, micro_batch):
    runner, watch = run(tmp_path, micro_batch)
    assert watch.steps == whole[1].steps == [0, 1, 2, 3]
    assert watch.rates == whole[1].rates and len(set(watch.rates)) > 2
    assert watch.losses == pytest.approx(whole[1].losses, rel=1e-4)
    assert_same_weights(runner, whole[0])
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_4.pth']


@pytest.mark.filterwarnings('ignore:.*has been created')  # two runners of one name in one process
def test_run_may_be_resumed_with_other_micro_batches(tmp_path, whole):
    run(tmp_path, iterations=2)
    runner, watch = run(tmp_path, micro_batch=4, resume=True)
    assert watch.steps == [2, 3] and watch.rates == whole[1].rates[2:]
    assert_same_weights(runner, whole[0])


def test_micro_batches_go_through_the_network_one_by_one(tmp_path):
    sizes = []

    class Sizes(Hook):
        def before_run(self, runner):
            runner.model.denoiser.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))

    cfg = config(tmp_path, iterations=1)
    cfg.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=4)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Sizes())
    runner.train()
    assert sizes == [4, 4]


def test_accumulated_batches_may_be_split_as_well(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=4)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    assert watch.steps == [0, 0, 1, 1]


@pytest.mark.parametrize('micro_batch', [3, 0, 16])
def test_micro_batch_has_to_divide_the_batch(tmp_path, micro_batch):
    cfg = config(tmp_path)
    cfg.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=micro_batch)
    with pytest.raises(InputError, match='choose one of 1, 2, 4, 8'):
        Runner.from_cfg(cfg).train()


def test_batches_have_to_be_of_one_size(tmp_path):
    cfg = config(tmp_path)
    cfg.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=4)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    with pytest.raises(InputError, match='drop_last'):
        Runner.from_cfg(cfg).train()


def test_rows_are_taken_of_tensors_lists_and_samples():
    images = torch.arange(6).view(3, 2)
    batch = dict(inputs=images, names=list('abc'), data_samples=DataSample.of(label=torch.tensor([7, 8, 9])), rate=0.5)
    part = rows_of(batch, slice(1, 3))
    assert part['inputs'].tolist() == [[2, 3], [4, 5]] and part['names'] == ['b', 'c'] and part['rate'] == 0.5
    assert labels_of(part['data_samples']).tolist() == [8, 9]
    assert labels_of(batch['data_samples']).tolist() == [7, 8, 9]
    assert len(rows_of([DataSample.of(label=1)] * 3, slice(0, 2))) == 2
