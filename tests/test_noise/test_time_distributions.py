import pytest
import torch
from torch.testing import assert_close

from mmcm.noise import DyadicTimes, LogitNormalTimes, UniformTimes
from mmcm.utils.errors import InputError
from support.parity import Fixture


def replay(monkeypatch, **draws):
    for name, values in draws.items():
        monkeypatch.setattr(torch, name, lambda *shape, values=values, **options: values)


@pytest.mark.parametrize('case', ['label_nocfg', 'cfg_interval', 'adaptive_p05'])
def test_times_are_those_of_another_program_for_the_same_draws(monkeypatch, case):
    fixture = Fixture('meanflow_zhuyu')
    options = fixture.meta['cases'][case]
    replay(monkeypatch, randn=fixture(case, 'time_draws'), rand=fixture(case, 'uniform_equal'))
    times = LogitNormalTimes(options['time_mu'], options['time_sigma'], options['ratio_r_not_equal_t'])(6)
    assert_close(times, torch.stack([fixture(case, 't'), fixture(case, 'r')], 1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('case', ['paper_v0', 'p1', 'p0_all_r_differs'])
def test_times_of_two_distributions_are_the_authors_for_the_same_draws(monkeypatch, case):
    fixture = Fixture('meanflow_py')
    options = fixture.meta['cases'][case]
    normal = torch.stack([fixture(case, 'normal_t'), fixture(case, 'normal_r')], 1)
    replay(monkeypatch, randn=normal, rand=fixture(case, 'uniform'))
    times = LogitNormalTimes(
        options['P_mean_t'], options['P_std_t'], options['ratio'], options['P_mean_r'], options['P_std_r']
    )(6)
    assert_close(times, torch.stack([fixture(case, 't'), fixture(case, 'r')], 1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('times', [LogitNormalTimes(-0.4, 1.0, 0.3), UniformTimes(0.3)])
def test_steps_go_down_and_their_share_is_the_ratio(times):
    torch.manual_seed(0)
    t, r = times(20000).unbind(1)
    assert (r <= t).all() and (r >= 0).all() and (t <= 1).all()
    assert abs((r < t).float().mean() - 0.3) < 5 * (0.21 / 20000) ** 0.5  # five standard errors


def test_uniform_times_are_the_order_of_two():
    torch.manual_seed(0)
    t, r = UniformTimes(1.0)(20000).unbind(1)
    assert t.mean() == pytest.approx(2 / 3, abs=0.01) and r.mean() == pytest.approx(1 / 3, abs=0.01)


def test_dyadic_steps_have_all_sizes_equally_often_and_start_at_their_multiples():
    torch.manual_seed(0)
    t, r = DyadicTimes(num_levels=4, ratio=0.25)(1600).unbind(1)
    size = t - r
    sizes, counts = size[:400].unique(return_counts=True)
    assert sizes.tolist() == [0.125, 0.25, 0.5, 1.0] and counts.tolist() == [100] * 4
    assert not size[400:].any() and (r >= 0).all()
    assert ((t / size)[:400] % 1 == 0).all() and ((t * 16)[400:] % 1 == 0).all()
    assert set(t[:100].tolist()) == {k / 8 for k in range(1, 9)}
    assert set(t[400:].tolist()) == {k / 16 for k in range(1, 17)}  # 1, where sampling starts, but not 0


def test_few_images_have_no_dyadic_step():
    t, r = DyadicTimes(num_levels=7, ratio=0.25)(3).unbind(1)
    assert torch.equal(t, r)


@pytest.mark.parametrize(
    'build, match',
    [
        (lambda: LogitNormalTimes(std=0.0), 'std'),
        (lambda: LogitNormalTimes(second_std=-1.0), 'std'),
        (lambda: LogitNormalTimes(ratio=1.1), 'ratio is a share'),
        (lambda: UniformTimes(ratio=-0.1), 'ratio is a share'),
        (lambda: DyadicTimes(num_levels=0), 'num_levels'),
    ],
)
def test_settings_that_cannot_be_are_refused(build, match):
    with pytest.raises(InputError, match=match):
        build()


def test_equal_times_are_the_first_draw_or_the_later_one():
    """Of two draws from the same distribution, symmetric around 0.5, the later one is larger."""
    means = {}
    for equal in ('first', 'later'):
        torch.manual_seed(0)
        t, r = LogitNormalTimes(mean=0.0, std=1.0, ratio=0.0, equal=equal)(20_000).unbind(1)
        assert torch.equal(t, r)
        means[equal] = t.mean().item()
    assert abs(means['first'] - 0.5) < 0.01 and means['later'] > 0.6


def test_share_of_the_times_is_uniform():
    torch.manual_seed(0)
    t, r = LogitNormalTimes(mean=9.0, std=0.1, ratio=1.0, uniform_ratio=0.25)(20_000).unbind(1)
    uniform = r < 0.99  # all others are near sigmoid(9)
    assert abs(uniform.float().mean().item() - 0.25) < 0.02
    assert abs(r[uniform].mean().item() - 0.99 / 3) < 0.02  # the earlier of two uniform draws
    assert (t >= r).all()


@pytest.mark.parametrize('settings, match', [(dict(equal='second'), 'equal'), (dict(uniform_ratio=2), 'uniform_ratio')])
def test_ways_to_draw_that_there_are_not_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        LogitNormalTimes(**settings)
