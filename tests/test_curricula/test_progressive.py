import pytest

from mmcm.curricula import ProgressiveCurriculum, Stage
from mmcm.utils.errors import InputError
from support.parity import Fixture


@pytest.mark.parametrize('case', ['fixed_progressive', 'adaptive_200', 'adaptive_150'])
def test_numbers_are_the_references(case):
    fixture = Fixture('curricula')
    options = fixture.meta[case]
    curriculum = ProgressiveCurriculum(
        options['start_scales'],
        options['end_scales'],
        options['total_steps'],
        options['start_ema'],
        adaptive=options['target_ema_mode'] == 'adaptive',
    )
    for step, scales, decay in zip(*(fixture(case, name).tolist() for name in ('step', 'scales', 'target_ema'))):
        num_scales, target_decay, _ = curriculum(step)
        assert isinstance(num_scales, int) and num_scales == scales
        assert target_decay == pytest.approx(decay, rel=0, abs=1e-12)


def test_scales_grow_from_the_first_to_one_more_than_the_last():
    curriculum = ProgressiveCurriculum(start_scales=10, end_scales=160, total_steps=1000, start_decay=0.9)
    assert curriculum(0).num_scales == 10
    assert curriculum(1000).num_scales == 161
    scales = [curriculum(step).num_scales for step in range(1001)]
    assert scales == sorted(scales)


def test_decay_halves_its_distance_to_one_where_the_intervals_double():
    """mu(k) = exp(s_0 log(mu_0) / (N(k) - 1)): its logarithm is inversely proportional to the intervals."""
    curriculum = ProgressiveCurriculum(start_scales=2, end_scales=200, total_steps=1000, start_decay=0.95)
    decays = {num_scales - 1: decay for num_scales, decay, _ in map(curriculum, range(1001))}
    assert decays[100] ** 50 == pytest.approx(0.95)  # s_0 / 100
    assert decays[200] ** 2 == pytest.approx(decays[100])


@pytest.mark.parametrize(
    'changes',
    [dict(start_scales=1), dict(end_scales=9), dict(total_steps=0), dict(start_decay=-0.1), dict(start_decay=1.1)],
)
def test_numbers_that_cannot_be_are_refused(changes):
    options = dict(start_scales=10, end_scales=100, total_steps=1000, start_decay=0.9)
    with pytest.raises(InputError):
        ProgressiveCurriculum(**dict(options, **changes))


@pytest.mark.parametrize('adaptive', [True, False])
def test_decay_that_starts_at_zero_stays_there(adaptive):
    """The default of the reference's trainer: exp(s_0 log(0) / (N - 1)) = 0, while N grows as with any other decay."""
    curriculum = ProgressiveCurriculum(2, 200, total_steps=1000, start_decay=0.0, adaptive=adaptive)
    other = ProgressiveCurriculum(2, 200, total_steps=1000, start_decay=0.9)
    for step in (0, 1, 500, 1000, 1500):
        assert curriculum(step) == Stage(other(step).num_scales, 0.0)
