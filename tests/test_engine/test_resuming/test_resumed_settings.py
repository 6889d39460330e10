"""A resumed run has the settings of its config now; where they are unchanged, it is the run that it was."""

import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.utils.errors import InputError
from support.runs import config

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),  # runners of the same second share MMEngine's name
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),
]
ADAM = dict(type='Adam', lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1)
POLY = dict(type='PolyLR', by_epoch=False, power=1.0)
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-4)
WARMUP = [dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=3), dict(POLY, begin=3)]
CYCLE = dict(type='OneCycleLR', by_epoch=False, eta_max=1e-2, total_steps=8)
MOMENTUM = [POLY, dict(type='CosineAnnealingMomentum', by_epoch=False, eta_min=0.5)]
RESTART = dict(type='CosineRestartLR', by_epoch=False, periods=[3, 5], restart_weights=[1, 0.5], eta_min=0.0)
SCHEDULES = dict(
    none=None,
    poly=POLY,
    cosine=COSINE,
    warmup=WARMUP,
    cycle=CYCLE,
    momentum=MOMENTUM,
    restart=RESTART,
    step=dict(type='StepLR', by_epoch=False, step_size=3, gamma=0.5),
    exponential=dict(type='ExponentialLR', by_epoch=False, gamma=0.8),
    inverse_sqrt=dict(type='InverseSqrtLR', by_epoch=False, reference=2, rampup=1),
)


class Groups(Hook):
    """Note the settings of the optimiser in each iteration."""

    def __init__(self):
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen[runner.iter] = [
            {key: value for key, value in group.items() if key in ('lr', 'betas', 'weight_decay')}
            for group in runner.optim_wrapper.optimizer.param_groups
        ]


def trained(folder, iterations, schedule, optimizer=ADAM, resume=False, wrapper=None, **changes):
    """Train; return the settings of each iteration, and the lines of the log."""
    cfg = config(folder, iterations, resume=resume, **changes)
    cfg.optim_wrapper.update(optimizer=optimizer, **(wrapper or {}))
    cfg.param_scheduler = schedule
    cfg.default_hooks.checkpoint.interval = 4
    runner, groups, notes = Runner.from_cfg(cfg), Groups(), []
    info = runner.logger.info
    runner.logger.info = lambda text, *args, **kwargs: (notes.append(str(text)), info(text, *args, **kwargs))
    runner.register_hook(groups)
    runner.train()
    return groups.seen, [note for note in notes if note.startswith('The config counts')]


def final(folder, iteration=8):
    return read_checkpoint(folder / f'iter_{iteration}.pth')['state_dict']


@pytest.mark.parametrize('name', ['none', 'warmup', 'cycle', 'momentum'])
def test_unchanged_config_resumes_exactly(tmp_path, name):
    schedule = SCHEDULES[name]
    whole, _ = trained(tmp_path / 'whole', 8, schedule)
    schedules = schedule if isinstance(schedule, list) else [schedule] if schedule else []
    fixed = [dict(each, end=each.get('end', 8)) for each in schedules] or None  # what was killed was to be as long
    trained(tmp_path / 'killed', 4, fixed)
    resumed, notes = trained(tmp_path / 'killed', 8, fixed, resume=True)
    assert notes == [] and {step: whole[step] for step in resumed} == resumed
    ours, theirs = final(tmp_path / 'killed'), final(tmp_path / 'whole')
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.mark.parametrize('name', ['poly', 'warmup'])
def test_longer_run_has_the_schedule_of_a_run_of_its_length(tmp_path, name):
    whole, _ = trained(tmp_path / 'whole', 8, SCHEDULES[name])
    trained(tmp_path / 'short', 4, SCHEDULES[name])
    longer, notes = trained(tmp_path / 'short', 8, SCHEDULES[name], resume=True)
    assert sorted(longer) == [4, 5, 6, 7] and {step: whole[step] for step in longer} == longer
    assert len(notes) == 1 and '.end 8 (4)' in notes[0] and '\n' not in notes[0]


@pytest.mark.parametrize(
    'before, after',
    [
        ('poly', 'none'),
        ('none', 'poly'),
        ('exponential', 'step'),
        ('step', 'restart'),
        ('cosine', 'cycle'),
        ('momentum', 'poly'),
    ],
)
def test_other_schedule_is_that_of_the_config(tmp_path, before, after):
    whole, _ = trained(tmp_path / 'whole', 8, SCHEDULES[after])
    trained(tmp_path / 'run', 4, SCHEDULES[before])
    resumed, notes = trained(tmp_path / 'run', 8, SCHEDULES[after], resume=True)
    assert {step: whole[step] for step in resumed} == resumed
    assert len(notes) == 1 and 'param_scheduler' in notes[0]


@pytest.mark.parametrize(
    'name, change, expected',
    [
        ('none', dict(lr=1e-3), 'lr 0.001 (0.01 in the checkpoint)'),
        ('poly', dict(lr=1e-3), 'lr 0.001 (0.01 in the checkpoint)'),
        ('none', dict(weight_decay=0.0), 'weight_decay 0.0 (0.1 in the checkpoint)'),
        ('poly', dict(betas=(0.5, 0.9)), 'betas (0.5, 0.9) ((0.9, 0.99) in the checkpoint)'),
    ],
)
def test_other_settings_of_the_optimiser_are_those_of_the_config(tmp_path, name, change, expected):
    schedule = None if name == 'none' else dict(POLY, end=8)
    trained(tmp_path / 'run', 4, schedule)
    resumed, notes = trained(tmp_path / 'run', 8, schedule, ADAM | change, resume=True)
    expected_lr = (ADAM | change)['lr'] * (1 if schedule is None else 1 - 4 / 7)
    settings = resumed[4][0]
    assert math.isclose(settings['lr'], expected_lr)
    assert (settings['betas'], settings['weight_decay']) == tuple(
        (ADAM | change)[key] for key in ('betas', 'weight_decay')
    )
    assert len(notes) == 1 and expected in notes[0]
    state = read_checkpoint(tmp_path / 'run' / 'iter_8.pth')['optimizer']['state']
    assert state[0]['step'] == 8  # the moments are those of the run


def test_settings_of_each_group_are_those_of_the_config(tmp_path):
    """With paramwise_cfg, each parameter is a group, and MMEngine keeps one more for the log."""
    groups = dict(paramwise_cfg=dict(bias_decay_mult=0.0, custom_keys={'out': dict(lr_mult=0.1)}))
    whole, _ = trained(tmp_path / 'whole', 8, POLY, ADAM | dict(lr=1e-3), wrapper=groups)
    trained(tmp_path / 'run', 4, POLY, wrapper=groups)
    resumed, notes = trained(tmp_path / 'run', 8, POLY, ADAM | dict(lr=1e-3), resume=True, wrapper=groups)
    assert resumed[4] == whole[4] and len({group['lr'] for group in resumed[4]}) == 2
    assert len(notes) == 1


def test_schedule_that_follows_measurements_is_not_computed_anew(tmp_path):
    plateau = dict(type='ReduceOnPlateauLR', monitor='x')
    trained(tmp_path / 'run', 4, plateau)
    assert trained(tmp_path / 'run', 8, plateau, resume=True)[1] == []
    with pytest.raises(InputError, match=r'differ in lr 0.001 \(0.01 in the checkpoint\), and a schedule that follows'):
        trained(tmp_path / 'run', 12, plateau, ADAM | dict(lr=1e-3), resume=True)


def test_schedule_that_has_ended_is_refused(tmp_path):
    trained(tmp_path / 'run', 4, None)
    with pytest.raises(InputError, match='param_scheduler cannot go on at iteration 4: .* Set a schedule'):
        trained(tmp_path / 'run', 8, dict(CYCLE, total_steps=2), resume=True)


@pytest.mark.parametrize('seed, expected', [(0, 0), (5, 5), (None, 0)])
def test_seed_of_the_config_counts(tmp_path, seed, expected):
    trained(tmp_path / 'run', 4, None)
    cfg = config(tmp_path / 'run', 8, resume=True)
    cfg.randomness.seed = seed
    cfg.train_dataloader.sampler.type = 'ResumableSampler'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.seed == expected and runner.train_dataloader.sampler.seed == expected
