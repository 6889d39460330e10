import random

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.datasets import SamplingRequests
from mmcm.engine.loops.sample_val_loop import shortened
from mmcm.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from mmcm.noise.generators import SampleNoise
from mmcm.registry import DATASETS, SAMPLERS
from mmcm.utils.errors import InputError
from support.runs import Watch
from support.validations import validated_config, without_validation

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


class RandomStates(Hook):
    """Note the numbers that the generators would give next, where the training may draw some."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.found = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        states = torch.get_rng_state(), np.random.get_state(), random.getstate()
        self.found.append((torch.rand(1).item(), np.random.rand(), random.random()))
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


class Drawing(Hook):
    """A hook of validations that draws random numbers."""

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        torch.rand(3), np.random.rand(3), random.random()


def trained(cfg, *hooks):
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def test_training_is_the_same_bit_for_bit_with_and_without_validation(tmp_path):
    states = [RandomStates(), RandomStates()]
    watches = [Watch(), Watch()]
    trained(validated_config(tmp_path / 'with'), states[0], watches[0], Drawing())
    trained(without_validation(validated_config(tmp_path / 'without')), states[1], watches[1])
    ours, theirs = (read_checkpoint(tmp_path / name / 'iter_4.pth') for name in ('with', 'without'))
    assert all(torch.equal(value, theirs['state_dict'][key]) for key, value in ours['state_dict'].items())
    assert ours['state_dict'].keys() == theirs['state_dict'].keys()
    assert states[0].found == states[1].found and watches[0].random == watches[1].random


def test_score_is_that_of_samples_of_the_average_at_the_seeds_of_the_requests(tmp_path):
    cfg = validated_config(tmp_path)
    cfg.val_dataloader.dataset.seed = 3
    runner = trained(cfg)
    model = runner.model
    requests = SamplingRequests(20, 10, 'balanced', 3)
    samples = model.sample(20, requests.labels, SampleNoise(requests.seeds))
    assert requests.labels == [index % 10 for index in range(20)]
    pixels = model.data_preprocessor.destruct(samples).flatten(1).float().numpy() / 127.5 - 1
    real = DATASETS.build(dict(type='DigitsDataset', split='test')).images.flatten(1).float().numpy() / 127.5 - 1
    found = runner.message_hub.get_scalar('val/sliced_wasserstein/distance').current()
    # Batches of 8 and of 20 images may differ by rounding: by a level of 256 in a few pixels at most.
    assert found == pytest.approx(sliced_wasserstein(pixels, real, 16), rel=1e-3)


def test_log_says_what_is_compared_with_what(tmp_path):
    trained(validated_config(tmp_path))
    log = next(tmp_path.rglob('*.log')).read_text()
    assert (
        "Validation: 20 images, 2 NFE each; compared with the data set DigitsDataset, split='test' (898 images)." in log
    )
    assert log.count('sliced_wasserstein/distance: ') == 2


def test_a_sampler_of_many_calls_takes_fewer_steps_in_validation_alone(tmp_path):
    cfg = validated_config(tmp_path)
    cfg.model.sampler = dict(type='HeunSampler', num_steps=18)
    runner = trained(cfg)
    assert runner.val_loop.sampler.nfe == 9 and runner.model.sampler.nfe == 35


@pytest.mark.parametrize(
    'sampler, max_nfe, expected',
    [
        (dict(type='HeunSampler', num_steps=18), 9, 9),
        (dict(type='HeunSampler', num_steps=18), 10, 9),
        (dict(type='HeunSampler', num_steps=18), None, 35),
        (dict(type='HeunSampler', num_steps=3), 9, 5),
        (dict(type='EulerSampler', num_steps=18), 4, 4),
        (dict(type='MultistepSampler', indices=(0, 5, 9), num_scales=18), 2, 3),
        (dict(type='HeunSampler', sigmas=(80.0, 5.0, 1.0)), 2, 5),
    ],
)
def test_number_of_steps_is_the_largest_that_max_nfe_allows(sampler, max_nfe, expected):
    assert shortened(ConfigDict(sampler), SAMPLERS.build(sampler), max_nfe).nfe == expected


class Broken(Hook):
    """Break the average that samples after the first iteration, and mend it after the third."""

    priority = 'VERY_LOW'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        bias = runner.model.inference_denoiser.backbone.out[2].bias
        with torch.no_grad():
            if runner.iter == 0:
                bias.fill_(float('nan'))
            elif runner.iter == 2:
                bias.fill_(0.0)


def test_samples_that_are_not_finite_have_no_score_and_the_training_goes_on(tmp_path):
    runner = trained(validated_config(tmp_path), Broken())
    log = next(tmp_path.rglob('*.log')).read_text()
    assert runner.iter == 4 and 'The validation has no score: the output of the network is not finite' in log
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_sliced_wasserstein_distance_iter_4.pth']


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(train_dataloader=dict(dataset=dict(split='all'))), "split='all' holds no images out of the training"),
        (dict(val_dataloader=dict(dataset=dict(num_samples=1))), 'needs at least 2 images to measure, got 1'),
        (dict(val_evaluator=dict(reference='none.npz')), 'there is no file none.npz'),
        (dict(val_cfg=dict(max_nfe=0)), 'val_cfg.max_nfe has to be an integer of at least 1'),
        (dict(model=dict(sampler=None)), 'set model.sampler'),
    ],
)
def test_what_cannot_be_validated_is_reported_before_the_first_step(tmp_path, change, message):
    cfg = validated_config(tmp_path)
    cfg.merge_from_dict(change)
    watch = Watch()
    with pytest.raises(InputError, match=message):
        trained(cfg, watch)
    assert not watch.steps
