import pytest

from mmcm.curricula import DoublingCurriculum, HalvingCurriculum, ShrinkingCurriculum, Stage
from mmcm.utils.errors import InputError
from support.parity import Fixture


def test_halving_is_the_references():
    fixture = Fixture('curricula')
    options = fixture.meta['progdist']
    curriculum = HalvingCurriculum(options['start_scales'], options['distill_steps_per_iter'])
    steps, scales, decays = (fixture('progdist', name).tolist() for name in ('step', 'scales', 'target_ema'))
    assert [curriculum(step)[:2] for step in steps] == list(zip(scales, decays))


@pytest.mark.parametrize(
    'start_steps, expected',
    [(8, [8, 4, 2, 2, 1, 1, 1]), (4, [4, 2, 2, 1, 1, 1, 1]), (2, [2, 2, 1, 1, 1, 1, 1]), (1, [1, 1, 1, 1, 1, 1, 1])],
)
def test_two_steps_take_two_stages_and_one_remains(start_steps, expected):
    curriculum = HalvingCurriculum(start_steps, stage_length=3)
    assert [curriculum(3 * stage).num_scales for stage in range(7)] == expected
    assert [curriculum(3 * stage + 2).num_scales for stage in range(7)] == expected


def test_doubling_is_kinyugos():
    fixture = Fixture('ict')
    options = fixture.meta
    curriculum = DoublingCurriculum(
        options['initial_timesteps'], options['final_timesteps'], options['total_training_steps']
    )
    assert curriculum.stage_length == options['stage_length']
    for step, scales in zip(fixture('schedule', 'step').tolist(), fixture('schedule', 'num_timesteps').tolist()):
        num_scales, decay, _ = curriculum(step)
        assert isinstance(num_scales, int) and (num_scales, decay) == (scales, 0.0), step


def test_doubling_stops_at_the_end_where_no_power_leads_to():
    """Song & Dhariwal (2023), Table 1: K' = floor(K / (log2 floor(s_1 / s_0) + 1)), here of log2 5."""
    curriculum = DoublingCurriculum(start_scales=10, end_scales=55, total_steps=1000)
    scales = [curriculum(step).num_scales for step in (0, 300, 301, 601, 602, 902, 903, 10**9)]
    assert scales == [11, 11, 21, 21, 41, 41, 56, 56]


def test_ratio_is_divided_by_q_in_each_stage():
    curriculum = ShrinkingCurriculum(stage_length=10, q=4.0)
    assert [curriculum(step).ratio for step in (0, 9, 10, 19, 20)] == [1 / 4, 1 / 4, 1 / 16, 1 / 16, 1 / 64]
    assert ShrinkingCurriculum(stage_length=10)(0) == Stage(None, 0.0, 1 / 2)
    later = ShrinkingCurriculum(stage_length=10, q=4.0, first_stage=2)
    assert [later(step).ratio for step in (0, 9, 10)] == [1 / 64, 1 / 64, 1 / 256]


@pytest.mark.parametrize('q, limit', [(2, 0.999), (4, 0.9961), (256, 0.999)])
def test_limit_of_the_ratio_is_the_references(q, limit):
    curriculum = ShrinkingCurriculum(stage_length=10, q=q, ratio_limit=limit)
    expected = Fixture('tcm')(f'ratio_q{q}_limit{limit}', 'ratio_by_stage').tolist()  # theirs is r / t
    assert [1 - curriculum(10 * stage).ratio for stage in range(len(expected))] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    'kind, options',
    [
        (HalvingCurriculum, dict(start_steps=0, stage_length=1)),
        (HalvingCurriculum, dict(start_steps=12, stage_length=1)),
        (HalvingCurriculum, dict(start_steps=8, stage_length=0)),
        (DoublingCurriculum, dict(start_scales=1, end_scales=8, total_steps=100)),
        (DoublingCurriculum, dict(start_scales=10, end_scales=9, total_steps=100)),
        (DoublingCurriculum, dict(start_scales=2, end_scales=8, total_steps=2)),
        (ShrinkingCurriculum, dict(stage_length=0)),
        (ShrinkingCurriculum, dict(stage_length=10, q=1.0)),
        (ShrinkingCurriculum, dict(stage_length=10, q=float('nan'))),
        (ShrinkingCurriculum, dict(stage_length=10, ratio_limit=0.0)),
        (ShrinkingCurriculum, dict(stage_length=10, first_stage=-1)),
        (ShrinkingCurriculum, dict(stage_length=10, ratio_limit=1.01)),
        (ShrinkingCurriculum, dict(stage_length=10, ratio_limit=float('nan'))),
    ],
)
def test_numbers_that_cannot_be_are_refused(kind, options):
    with pytest.raises(InputError):
        kind(**options)
