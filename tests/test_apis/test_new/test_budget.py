import pytest

from mmcm.apis.new.budget import MOST_PAUSES, Costs, in_words, parse_budget, plan_steps
from mmcm.utils.errors import InputError


@pytest.mark.parametrize(
    ('text', 'seconds'), [('30m', 1800), ('8h', 28800), ('1h30m', 5400), ('90s', 90), ('2d', 172800), (' 1H ', 3600)]
)
def test_budget_is_a_sum_of_units(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize('text', ['', '30', 'm', '1s', '-5m', '1.5h', '30m8h', '400d', 'a lot'])
def test_no_budget_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="such as '30m'"):
        parse_budget(text)


@pytest.mark.parametrize(
    ('seconds', 'words'),
    [
        (45.4, '45 s'),
        (150, '2 min 30 s'),
        (1800, '30 min'),
        (28800, '8 h'),
        (9000, '2 h 30 min'),
        (7199.6, '2 h'),
        (180000, '2 d 2 h'),
    ],
)
def test_time_has_two_units(seconds, words):
    assert in_words(seconds) == words


def test_steps_fill_the_time_with_pauses():
    costs = Costs(start=10.0, step=0.5, pause=2.0, first_pause=4.0)
    num_steps, interval = plan_steps(114.0, costs)
    # 100 seconds are left, 15 % of which allow 7 pauses: int((100 - 7 * 2) / 0.5 / 7) = 24 steps between them.
    assert (num_steps, interval) == (168, 24)
    assert costs.seconds(num_steps, 7) == 10 + 4 + 84 + 14 <= 114


def test_pauses_that_cost_nothing_are_as_many_as_allowed():
    assert plan_steps(100.0, Costs(0.0, 1.0)) == (100, 100 // MOST_PAUSES)


def test_expensive_pause_comes_once():
    num_steps, interval = plan_steps(100.0, Costs(0.0, 1.0, pause=60.0))
    assert num_steps == interval == 40


def test_time_without_a_step_is_refused_with_the_time_of_one():
    with pytest.raises(InputError, match='too short: 60 s are for this training, and 106 s are needed'):
        plan_steps(60.0, Costs(start=50.0, step=25.0, pause=30.0))
