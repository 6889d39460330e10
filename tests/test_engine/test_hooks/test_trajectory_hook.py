import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmcm.engine import TrajectoryHook
from mmcm.noise.generators import SampleNoise
from mmcm.noise.schedules import karras_sigmas
from mmcm.utils.errors import InputError
from support.digits import build
from support.runs import config

LEVELS = (80.0, 3.0, 0.5)
SAMPLER = dict(type='MultistepSampler', sigmas=LEVELS)


def test_levels_are_the_samplers_and_estimates_the_denoisers():
    model = build()
    levels = TrajectoryHook(num_samples=3, sampler=SAMPLER, seed=2).trajectory(model)
    assert [sigma for sigma, _, _ in levels] == list(LEVELS)
    noise = SampleNoise(range(6, 9)).randn(3, *model.image_shape)
    with torch.no_grad():
        x0 = model.denoiser.eval()(80.0 * noise, torch.full((3,), 80.0), torch.tensor([0, 1, 2])).clamp(-1, 1)
    _, noisy, estimate = levels[0]
    # Of the spread of clean images: 0.5 instead of 80.
    expected = (80 * noise / math.sqrt(80**2 / 0.25 + 1)).clamp(-1, 1)
    for ours, theirs in ((noisy, expected), (estimate, x0)):
        assert (ours.float() - (theirs + 1) * 127.5).abs().max() < 0.51


def test_of_many_levels_some_are_shown_from_the_first_to_the_last():
    model = build()
    sampler = dict(type='EulerSampler', num_steps=20)
    levels = TrajectoryHook(num_samples=1, columns=5, sampler=sampler).trajectory(model)
    sigmas = [sigma for sigma, _, _ in levels]
    assert len(sigmas) == 5 and sigmas[0] == pytest.approx(80) and sigmas[-1] == pytest.approx(0.002)


def test_way_of_a_model_of_one_step_is_that_of_a_schedule():
    model = build(sampler=dict(type='MultistepSampler', indices=(0,)))
    sigmas = [sigma for sigma, _, _ in TrajectoryHook(num_samples=1).trajectory(model)]
    assert sigmas == pytest.approx(karras_sigmas(9)[:-1].tolist())
    model = build(sampler=dict(type='MultistepSampler', sigmas=(80.0, 9.0, 2.0, 1.0)))
    assert [sigma for sigma, _, _ in TrajectoryHook(num_samples=1).trajectory(model)] == [80, 9, 2, 1]


def test_seeds_stay_the_same():
    model = build()
    hook = TrajectoryHook(num_samples=2, sampler=SAMPLER)
    first = hook.trajectory(model)
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for one, two in zip(first, hook.trajectory(model)) for a, b in zip(one[1:], two[1:]))


def test_sheets_are_written_at_the_interval_and_at_the_end(tmp_path):
    cfg = config(tmp_path, iterations=5)
    cfg.default_hooks.trajectory = dict(type='TrajectoryHook', interval=2, num_samples=2, sampler=SAMPLER)
    cfg.default_hooks.sample_grid = dict(type='SampleGridHook', interval=5, rows=2, columns=2)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])
    Runner.from_cfg(cfg).train()
    assert sorted(path.name for path in (tmp_path / 'trajectories').iterdir()) == [
        f'iter_{number}.png' for number in (2, 4, 5)
    ]
    (path,) = tmp_path.rglob('events.out.tfevents.*')
    reader = EventAccumulator(str(path.parent))
    reader.Reload()
    images = {tag: reader.Images(tag) for tag in reader.Tags()['images']}
    assert {tag: [image.step for image in shown] for tag, shown in images.items()} == {
        'trajectories': [2, 4, 5],
        'samples': [5],
    }
    last = cv2.imdecode(np.frombuffer(images['trajectories'][-1].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(last, cv2.imread(str(tmp_path / 'trajectories' / 'iter_5.png')))


def test_a_model_without_a_sampler_is_told_before_the_first_step():
    runner = SimpleNamespace(model=build(sampler=None))
    with pytest.raises(InputError, match='no sampler'):
        TrajectoryHook().before_train(runner)
    TrajectoryHook(sampler=SAMPLER).before_train(runner)
