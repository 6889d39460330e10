import pytest
import torch
from mmengine import registry as root
from mmengine.optim.scheduler.param_scheduler import INF

from mmcm.engine import InverseSqrtLR
from mmcm.engine.optimizers.inverse_sqrt_lr import inverse_sqrt_factor
from mmcm.registry import PARAM_SCHEDULERS
from mmcm.utils.errors import InputError
from support.parity import Fixture

FIXTURES = {name: Fixture(name) for name in ('ect_imagenet', 'edm2_loss')}
RAMPUP_IMAGES = dict(rampup_kimg=1000, rampup_Mimg=1_000_000)  # the unit of each program
CASES = [(name, case) for name, each in FIXTURES.items() for case in each.meta['cases'] if case.startswith('lr_')]


@pytest.mark.parametrize('name, case', CASES)
def test_learning_rates_are_the_references(name, case):
    fixture = FIXTURES[name]
    settings = fixture.meta['cases'][case]
    steps = (fixture(case, 'cur_nimg').double() / settings['batch_size']).tolist()
    (rampup_images,) = [settings[key] * images for key, images in RAMPUP_IMAGES.items() if key in settings]
    rampup = rampup_images / settings['batch_size']
    rates = [settings['ref_lr'] * inverse_sqrt_factor(step, settings['ref_batches'], rampup) for step in steps]
    assert rates == pytest.approx(fixture(case, 'lr').tolist(), rel=1e-12, abs=0)


def build(**settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    return optimizer, PARAM_SCHEDULERS.build(dict(type='InverseSqrtLR', optimizer=optimizer, **settings))


def rates(optimizer, scheduler, steps):
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return seen


def test_schedule_sets_the_learning_rate_of_each_step():
    seen = rates(*build(reference=4, rampup=2, by_epoch=False), 17)
    assert [seen[step] for step in (0, 1, 2, 4, 9, 16)] == pytest.approx([0, 0.25, 0.5, 0.5, 1 / 3, 0.25])
    assert rates(*build(reference=0, by_epoch=False), 3) == [0.5, 0.5, 0.5]
    assert rates(*build(reference=1, by_epoch=False, begin=2, end=4), 6) == pytest.approx(
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    )  # the first step of the schedule is 0, and its last 1
    assert rates(*build(reference=1, by_epoch=False, end=5), 7)[4:] == pytest.approx([0.25, 0.25, 0.25])


def test_state_goes_on_where_it_was():
    whole = rates(*build(reference=2, by_epoch=False), 8)
    optimizer, scheduler = build(reference=2, by_epoch=False)
    rates(optimizer, scheduler, 5)
    again, resumed = build(reference=2, by_epoch=False)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert rates(again, resumed, 3) == whole[5:]


def test_epochs_become_steps():
    optimizer, _ = build(reference=1)
    settings = dict(reference=2, rampup=1, end=3, convert_to_iter_based=True)
    scheduler = root.PARAM_SCHEDULERS.build(  # as MMEngine's runner does
        dict(type='mmcm.InverseSqrtLR', **settings), default_args=dict(optimizer=optimizer, epoch_length=4)
    )
    assert (scheduler.reference, scheduler.rampup, scheduler.end, scheduler.by_epoch) == (8, 4, 12, False)
    assert InverseSqrtLR.build_iter_from_epoch(optimizer, reference=1, epoch_length=4).end == INF
    with pytest.raises(InputError, match='epoch_length=None'):
        InverseSqrtLR.build_iter_from_epoch(optimizer, reference=1)


@pytest.mark.parametrize('settings', [dict(reference=-1), dict(reference=float('inf')), dict(reference=1, rampup=-1)])
def test_numbers_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match='at least 0 and finite'):
        build(**settings)
