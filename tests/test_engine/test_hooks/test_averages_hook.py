from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.engine.hooks import AveragesHook
from support.digits import BACKBONE, build, model_config
from support.runs import config

STARTS = (2, 6)  # of stages: 4 steps, 2 for twice as long, 1


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pt'
    torch.save(build(seed=3).denoiser.backbone.state_dict(), path)
    return str(path)


def progressive(work_dir, teacher, stage_length=2, **changes):
    cfg = config(work_dir, iterations=8, **changes)
    cfg.model = model_config(
        denoiser=dict(type='KarrasDenoiser', backbone=BACKBONE, boundary=False),
        objective=dict(
            type='ProgressiveDistillation',
            distance=dict(type='L2'),
            curriculum=dict(type='HalvingCurriculum', start_steps=4, stage_length=stage_length),
        ),
        teacher=dict(checkpoint=teacher),
        init_from='teacher',
        ema_decays=(0.5,),
    )
    cfg.optim_wrapper.optimizer = dict(type='Adam', lr=1e-3)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.plain_log = dict(type='PlainLogHook')
    return cfg


class Watch(Hook):
    """Note before each iteration which networks have the online weights, and how much the optimiser remembers."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.teacher, self.average, self.moments, self.steps = {}, {}, {}, {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = runner.model
        self.teacher[runner.iter] = same(model.teacher, model.denoiser)
        self.average[runner.iter] = same(model.emas['0_5'], model.denoiser)
        self.moments[runner.iter] = len(runner.optim_wrapper.optimizer.state)
        self.steps[runner.iter] = model.step


def same(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def run(cfg):
    watch, runner = Watch(), Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return watch


def test_network_becomes_its_teacher_where_a_stage_begins_and_only_there(tmp_path, teacher):
    watch = run(progressive(tmp_path, teacher))
    beginnings = {iteration: iteration in (0, *STARTS) for iteration in range(8)}  # 0: training starts from the teacher
    assert watch.teacher == watch.average == beginnings
    assert {iteration: count == 0 for iteration, count in watch.moments.items()} == beginnings


def test_with_accumulated_gradients_a_stage_begins_with_the_first_batch_of_its_step(tmp_path, teacher):
    cfg = progressive(tmp_path, teacher, stage_length=1)  # stages begin with the steps 1 and 3
    cfg.optim_wrapper.accumulative_counts = 2
    watch = run(cfg)
    assert [watch.steps[iteration] for iteration in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    # The optimiser steps after the iterations 1, 3, 5 and 7; until then the weights stay the teacher's.
    assert [iteration for iteration in range(8) if watch.teacher[iteration]] == [0, 1, 2, 3, 6, 7]
    assert [iteration for iteration in range(8) if watch.moments[iteration]] == [4, 5]


@pytest.mark.parametrize('start', [2, 4])
def test_run_that_resumes_at_the_beginning_or_within_a_stage_ends_the_same(tmp_path, teacher, start):
    run(progressive(tmp_path / 'whole', teacher))
    path = tmp_path / 'whole' / f'iter_{start}.pth'
    watch = run(progressive(tmp_path / 'resumed', teacher, resume=True, load_from=str(path)))
    assert watch.teacher == {iteration: iteration in STARTS for iteration in range(start, 8)}
    whole, resumed = (read_checkpoint(tmp_path / name / 'iter_8.pth') for name in ('whole', 'resumed'))
    assert whole['state_dict'].keys() == resumed['state_dict'].keys()
    assert any(key.startswith('teacher.') for key in whole['state_dict'])
    for key, tensor in whole['state_dict'].items():
        assert torch.equal(resumed['state_dict'][key], tensor), key
    for ours, theirs in zip(resumed['optimizer']['state'].values(), whole['optimizer']['state'].values()):
        assert torch.equal(ours['exp_avg'], theirs['exp_avg']) and ours['step'] == theirs['step'] == 2


def test_step_is_told_once_unless_the_run_is_resumed_between_its_batches():
    for first, expected in ((0, [0, 1, 2]), (1, [0, 1, 2]), (3, [1, 2])):
        told = []
        model = SimpleNamespace(step=None)

        def begin_step(step, model=model, told=told):
            model.step = step
            told.append(step)

        model.begin_step = begin_step
        for iteration in range(first, 6):
            runner = SimpleNamespace(
                iter=iteration, model=model, optim_wrapper=SimpleNamespace(_accumulative_counts=2), train_loop=None
            )
            AveragesHook().before_train_iter(runner, iteration)
        assert told == expected
