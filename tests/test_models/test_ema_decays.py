"""Decays of averages, against EDM2's measured numbers and closed forms."""

import math

import pytest
import torch

from mmcm.models.ema_decays import (
    LARGEST_SIGMA_REL,
    ConstantDecay,
    HalfLifeDecay,
    PowerFunctionDecay,
    check_decays,
    check_restarts,
    decay_of,
    exponent_of,
)
from mmcm.utils.errors import InputError
from support.digits import build, objective_config
from support.parity import Fixture

EDM2 = Fixture('edm2_phema')


def sigma_rel_of(gamma):
    """The deviation of the profile proportional to t^gamma on [0, 1]."""
    return math.sqrt(gamma + 1) / ((gamma + 2) * math.sqrt(gamma + 3))


def test_exponents_and_deviations_are_edm2s():
    for sigma_rel, gamma in zip(EDM2('std').tolist(), EDM2('std_to_exp').tolist()):
        assert exponent_of(sigma_rel) == pytest.approx(gamma, rel=1e-9)
    for gamma, sigma_rel in zip(EDM2('exp').tolist(), EDM2('exp_to_std').tolist()):
        assert sigma_rel_of(gamma) == pytest.approx(sigma_rel, rel=1e-9)


def test_exponent_vanishes_where_the_average_is_the_mean_of_all_steps():
    assert sigma_rel_of(0) == pytest.approx(LARGEST_SIGMA_REL, rel=1e-15)
    assert exponent_of(LARGEST_SIGMA_REL * (1 - 1e-9)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize('batch', [2048, 512, 128])
def test_decays_of_power_functions_are_edm2s(batch):
    case = f'beta_batch{batch}'
    for sigma_rel, betas in zip(EDM2(case, 'std').tolist(), EDM2(case, 'beta').tolist()):
        decay = PowerFunctionDecay(sigma_rel)
        for images, beta in zip(EDM2(case, 't_next').tolist(), betas):
            # The exponent, up to 200, multiplies the rounding of 1 - 1/t.
            assert decay.at(images // batch - 1, batch) == pytest.approx(beta, rel=1e-12, abs=1e-300)


def averaged(weights, decay, batch=1, first=0):
    """Return the averages of `weights` (steps, n) after each step, in float64, from step `first` on."""
    average, averages = torch.zeros_like(weights[0]), []
    for step, online in enumerate(weights, start=first):
        average = torch.lerp(average, online, 1 - decay.at(step, batch))
        averages.append(average)
    return torch.stack(averages)


@pytest.mark.parametrize('index, sigma_rel', [(0, 0.05), (1, 0.1)])
def test_trajectory_of_a_power_function_average_is_edm2s(index, sigma_rel):
    averages = averaged(EDM2('trajectory', 'weights').double(), PowerFunctionDecay(sigma_rel), 1024)
    torch.testing.assert_close(averages.float(), EDM2('trajectory', f'ema_{index}'), rtol=0, atol=2e-6)


def test_trajectory_of_an_average_with_a_half_life_is_edm2s():
    weights, expected = EDM2('traditional', 'weights').double(), EDM2('traditional', 'ema')
    decay = HalfLifeDecay(0.01e6, ramp_up=0.09)
    average, averages = weights[0], []
    for step, online in enumerate(weights[1:]):
        average = torch.lerp(average, online, 1 - decay.at(step, 4096))
        averages.append(average)
    torch.testing.assert_close(torch.stack(averages).float(), expected[1:], rtol=0, atol=2e-6)


@pytest.mark.parametrize('sigma_rel', [0.05, 0.1, 0.25])
def test_power_function_average_of_the_time_is_known(sigma_rel):
    """Of weights t = 1, 2, ..., T: the mean of the profile, T (gamma + 1) / (gamma + 2), up to the sum's O(1/T)."""
    steps, gamma = 20_000, exponent_of(sigma_rel)
    average = averaged(torch.arange(1, steps + 1, dtype=torch.float64)[:, None], PowerFunctionDecay(sigma_rel))[-1]
    # The recursion a_t = a_(t-1) + (1 - beta_t)(t - a_(t-1)) has the solution t (gamma+1)/(gamma+2) + O(1).
    assert float(average) / steps == pytest.approx((gamma + 1) / (gamma + 2), abs=2 / steps)


def test_half_life_does_not_depend_on_the_batch_size():
    by_batch = [HalfLifeDecay(1000).at(0, batch) ** (1000 / batch) for batch in (1, 8, 250)]
    assert by_batch == pytest.approx([0.5] * 3, rel=1e-12)


def test_decay_is_what_the_config_says():
    assert decay_of(0.999) == ConstantDecay(0.999)
    assert decay_of(dict(sigma_rel=0.05)) == PowerFunctionDecay(0.05)
    assert decay_of(dict(half_life=500_000, ramp_up=0.05)) == HalfLifeDecay(500_000, 0.05)


@pytest.mark.parametrize(
    'decays',
    [
        (0.9, 0.9),
        0.9,
        (1.1,),
        (-0.1,),
        (dict(sigma_rel=0.05), dict(sigma_rel=0.05)),
        (dict(half_life=5, ramp_up=0.1), dict(ramp_up=0.1, half_life=5.0)),
        (dict(sigma_rel=0),),
        (dict(sigma_rel=LARGEST_SIGMA_REL),),
        (dict(sigma_rel=math.nan),),
        (dict(sigma_rel=True),),
        (dict(half_life=0),),
        (dict(half_life=math.inf),),
        (dict(half_life='long'),),
        (dict(half_life=5, ramp_up=-1),),
        (dict(ramp_up=0.1),),
        (dict(gamma=3),),
    ],
)
def test_decays_that_cannot_be_are_refused(decays):
    with pytest.raises(InputError):
        check_decays(decays)


def test_model_keeps_each_kind_of_average():
    model = build(objective=objective_config(), ema_decays=(0.5, dict(sigma_rel=0.1), dict(half_life=64, ramp_up=None)))
    assert list(model.emas) == ['0_5', 'sigma_rel_0_1', 'half_life_64']
    before = [p.detach().clone() for p in model.denoiser.parameters()]
    with torch.no_grad():
        for step in range(3):
            model.begin_step(step)
            for parameter, start in zip(model.denoiser.parameters(), before):
                parameter.copy_(start + step + 1)
            model.update_averages(images_per_step=32)
    shifts = [float((next(ema.parameters()) - before[0]).mean()) for ema in model.emas.values()]
    beta = [PowerFunctionDecay(0.1).at(step, 32) for step in range(3)]
    power = beta[2] * (beta[1] * 1 + (1 - beta[1]) * 2) + (1 - beta[2]) * 3
    root = 0.5**0.5
    half_life = root * (root * (1 - root) * 1 + (1 - root) * 2) + (1 - root) * 3
    assert shifts == pytest.approx([0.125 + 0.5 + 1.5, power, half_life], abs=1e-5)


def test_half_life_needs_the_number_of_images():
    model = build(objective=objective_config(), ema_decays=(dict(half_life=64),))
    model.begin_step(0)
    with pytest.raises(InputError, match='needs the number of images per step'):
        model.update_averages()


def test_averages_of_stages_have_constant_decays():
    check_restarts([ConstantDecay(0.9)])
    with pytest.raises(InputError, match='progressive distillation starts its averages anew'):
        check_restarts([PowerFunctionDecay(0.1)])
