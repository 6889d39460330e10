import cv2
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.engine import SampleGridHook, TrajectoryHook
from mmcm.utils.errors import InputError
from mmcm.visualization import grids
from support.runs import config

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')
TILE = 64 + 4  # pixels of a magnified image and the gap beside it
CAPTION = 16  # pixels of a line of text


class Calls(Hook):
    """Count how many images go through the network in sheets."""

    def __init__(self):
        self.images = 0

    def before_run(self, runner):
        runner.model.inference_denoiser.backbone.register_forward_hook(
            lambda module, inputs, output: self.count(len(output))
        )

    def count(self, number):
        self.images += number


def run(tmp_path, iterations=2, sampler=None, **hooks):
    """Train, with hooks of sheets; return the counts and the log."""
    cfg = config(tmp_path, iterations)
    cfg.default_hooks.update(checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=iterations), **hooks)
    if sampler:
        cfg.model.sampler = sampler
    runner = Runner.from_cfg(cfg)
    calls = Calls()
    runner.register_hook(calls)
    runner.train()
    return calls, next(tmp_path.rglob('*.log')).read_text()


def shape_of(path):
    height, width, _ = cv2.imread(str(path)).shape
    tile = 256 + 4 if width == 4 + 256 + 4 else TILE  # one image alone is magnified to 256 pixels
    return (height - CAPTION) // (tile + CAPTION), width // tile  # a title above, and a caption below each image


def test_checkpoint_is_saved_before_anything_is_drawn(tmp_path):
    order = []

    class Saved(SampleGridHook):
        def sheet(self, runner):
            order.append((tmp_path / f'iter_{runner.iter + 1}.pth').exists())
            return super().sheet(runner)

    cfg = config(tmp_path, 4)
    cfg.default_hooks.checkpoint = dict(type='WholeCheckpointHook', by_epoch=False, interval=2)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Saved(interval=2, rows=1, columns=1))
    runner.train()
    assert order == [True, True]


@pytest.mark.parametrize(
    'num_steps, rows, columns, expected',
    [
        (9, 10, 10, (10, 5)),  # 17 calls for each image
        (100, 10, 10, (5, 1)),  # 199 calls: fewer images than rows
        (600, 10, 10, (1, 1)),  # one image is always drawn; alone it is magnified to 256 pixels
    ],
)
def test_cost_of_a_grid_is_bounded_and_announced(tmp_path, num_steps, rows, columns, expected):
    calls, log = run(
        tmp_path,
        sampler=dict(type='HeunSampler', num_steps=num_steps),
        sample_grid=dict(type='SampleGridHook', interval=2, rows=rows, columns=columns),
    )
    number = expected[0] * expected[1]
    assert shape_of(tmp_path / 'samples' / 'iter_2.png') == expected
    assert calls.images == number * (2 * num_steps - 1) and (calls.images <= 1000 or number == 1)
    assert f'Sampling samples/iter_2.png: {number} images of 100, which would exceed max_cost=1000' in log
    assert log.index('Saving checkpoint at 2') < log.index('Sampling samples')


def test_grid_that_costs_little_is_drawn_as_it_is_asked_for(tmp_path):
    calls, log = run(tmp_path, sample_grid=dict(type='SampleGridHook', interval=2, rows=3, columns=4))
    assert shape_of(tmp_path / 'samples' / 'iter_2.png') == (3, 4) and calls.images == 2 * 12
    assert 'Sampling samples/iter_2.png: 12 images, 2 network evaluations each. default_hooks.sample_grid=None' in log


def test_cost_of_a_trajectory_is_bounded(tmp_path):
    calls, log = run(
        tmp_path,
        sampler=dict(type='HeunSampler', num_steps=9),
        trajectory=dict(type='TrajectoryHook', interval=2, num_samples=4, max_cost=40),
    )
    assert calls.images == 2 * 17 and 'Sampling trajectories/iter_2.png: 2 images of 4' in log


def test_large_images_count_by_their_pixels():
    class Model:
        image_shape = (3, 256, 256)

    class Here:
        model, iter = Model(), 0

        class logger:
            info = staticmethod(lambda text: None)

    assert SampleGridHook().affordable(Here, 100, 1) == 1000 // 16
    assert TrajectoryHook().affordable(Here, 4, 18) == 3


def test_cost_has_to_be_positive():
    with pytest.raises(InputError, match='max_cost'):
        SampleGridHook(max_cost=0)


class Diverged(Hook):
    """Break the average that draws, and not the trained weights, which the guard looks at."""

    priority = 'VERY_LOW'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 0:
            with torch.no_grad():
                runner.model.inference_denoiser.backbone.out[2].bias.fill_(float('nan'))


def test_sheets_of_what_is_not_finite_are_left_out_and_the_training_goes_on(tmp_path):
    cfg = config(tmp_path, 2)
    cfg.default_hooks.update(
        sample_grid=dict(type='SampleGridHook', interval=1, rows=1, columns=1),
        trajectory=dict(type='TrajectoryHook', interval=1, num_samples=1),
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Diverged())
    runner.train()
    log = next(tmp_path.rglob('*.log')).read_text()
    for name in ('samples', 'trajectories'):
        assert not list((tmp_path / name).glob('*.png'))
        assert f'{name}/iter_2.png is left out: the output of the network is not finite, since 1 of its' in log
    assert runner.iter == 2 and (tmp_path / 'iter_2.pth').exists()


@pytest.mark.parametrize('names, expected', [(None, 'class 1'), (['zero', 'one', *'23456789'], 'class one')])
def test_sheets_name_iteration_nfe_and_classes(tmp_path, monkeypatch, names, expected):
    written = []
    write = grids.cv2.putText
    monkeypatch.setattr(
        grids.cv2, 'putText', lambda sheet, text, *more, **how: (written.append(text), write(sheet, text, *more, **how))
    )
    cfg = config(tmp_path, 2)
    cfg.class_names = names
    cfg.default_hooks.update(
        sample_grid=dict(type='SampleGridHook', interval=2, rows=2, columns=3),
        trajectory=dict(type='TrajectoryHook', interval=2, num_samples=2),
    )
    Runner.from_cfg(cfg).train()
    sample, trajectory = written[:7], written[7:]
    first, second = (expected.removeprefix('class '), '0' if names is None else 'zero')
    assert sample == [second] * 3 + [first] * 3 + ['iteration 2, NFE 2']
    assert {'iteration 2, NFE 8', 'seed 1', expected, 'estimate'} <= set(trajectory)
