"""What the samplers along the levels of Karras et al. have in common, and how accurate each is."""

import pytest
import torch

from mmcm.samplers import DPM2Sampler, EulerAncestralSampler, EulerSampler, HeunSampler, ProgressiveDistillationSampler
from mmcm.utils.errors import InputError
from support.parity import gaussian_consistency, gaussian_denoiser

DETERMINISTIC = [DPM2Sampler, EulerSampler, HeunSampler, ProgressiveDistillationSampler]
ALL = [*DETERMINISTIC, EulerAncestralSampler]


def no_noise(x):
    raise AssertionError('a deterministic sampler needs no further noise')


def relative_error(sampler):
    """Return how far `sampler` ends from the solution of the ODE, for data N(0, 0.5^2)."""
    noise = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    exact = gaussian_consistency(noise * sampler.sigma_max, torch.tensor([sampler.sigma_max]).double())
    return (sampler(gaussian_denoiser, noise, no_noise) / exact - 1).abs().item()


def test_heun_reaches_the_solution_of_the_ode():
    assert relative_error(HeunSampler(160)) < 1e-3


@pytest.mark.parametrize('kind, order', [(EulerSampler, 1), (HeunSampler, 2), (DPM2Sampler, 2)])
def test_error_falls_with_the_order_of_the_method(kind, order):
    # a sigma_min so small that the last step, to zero, does not count
    errors = [relative_error(kind(num_steps, sigma_min=1e-4)) for num_steps in (320, 640)]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_ancestral_sampling_keeps_the_spread_of_gaussian_data():
    torch.manual_seed(0)
    x0 = EulerAncestralSampler(500)(gaussian_denoiser, torch.randn(100, 1, 10, 10), torch.randn_like)
    assert x0.std() == pytest.approx(0.5, rel=0.03)


def test_churn_keeps_the_spread_of_gaussian_data():
    torch.manual_seed(0)
    sampler = HeunSampler(200, s_churn=20.0)
    x0 = sampler(gaussian_denoiser, torch.randn(100, 1, 10, 10), torch.randn_like)
    assert x0.std() == pytest.approx(0.5, rel=0.03)


def test_churn_acts_in_its_window_only():
    draws = []

    def randn_like(x):
        draws.append(x)
        return torch.full_like(x, 1e6)

    sampler = HeunSampler(10, s_churn=20.0, s_tmin=100.0)
    expected = HeunSampler(10)(gaussian_denoiser, torch.ones(1, 1, 2, 2), no_noise)
    assert torch.equal(sampler(gaussian_denoiser, torch.ones(1, 1, 2, 2), randn_like), expected)
    assert len(draws) == 10  # the stream of noise does not depend on the window


@pytest.mark.parametrize('kind', DETERMINISTIC)
def test_deterministic_samplers_draw_no_noise(kind):
    kind(5)(gaussian_denoiser, torch.ones(1, 1, 2, 2), no_noise)


@pytest.mark.parametrize(
    'kind, calls',
    [
        (EulerSampler, 6),
        (EulerAncestralSampler, 6),
        (HeunSampler, 11),
        (DPM2Sampler, 12),
        (ProgressiveDistillationSampler, 6),
    ],
)
def test_number_of_calls_is_the_announced_one(kind, calls):
    seen = []

    def denoise(x, sigma):
        seen.append(sigma)
        return gaussian_denoiser(x, sigma)

    sampler = kind(6)
    sampler(denoise, torch.ones(1, 1, 2, 2), torch.zeros_like)
    assert len(seen) == sampler.nfe == calls


@pytest.mark.parametrize('kind', ALL)
def test_callback_hears_of_every_step_once(kind):
    heard = []
    sampler = kind(4)
    sampler(gaussian_denoiser, torch.ones(2, 1, 2, 2), torch.zeros_like, lambda *report: heard.append(report))
    assert [step for step, _, _, _ in heard] == list(range(sampler.num_steps))
    assert [sigma for _, sigma, _, _ in heard] == sampler.levels(torch.float32)[:-1]
    for _, sigma, x, x0 in heard:
        assert torch.equal(x0, gaussian_denoiser(x, torch.tensor([sigma, sigma])))


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize(
    'options, match',
    [
        (dict(num_steps=0), 'got 0'),
        (dict(num_steps=1.5), 'got 1.5'),
        (dict(num_steps=4, sigma_min=-0.1), 'sigma_min -0.1'),
        (dict(num_steps=4, sigma_min=90.0), 'sigma_min < sigma_max'),
        (dict(num_steps=4, rho=0.0), 'rho > 0'),
        (dict(num_steps=4, rho=float('inf')), 'rho > 0'),
    ],
)
def test_options_that_cannot_be_are_refused(kind, options, match):
    with pytest.raises(InputError, match=match):
        kind(**options)


@pytest.mark.parametrize('kind', [DPM2Sampler, HeunSampler])
def test_negative_churn_is_refused(kind):
    with pytest.raises(InputError, match='s_churn'):
        kind(4, s_churn=-1.0)


@pytest.mark.parametrize('kind', ALL)
def test_levels_of_the_schedule_given_as_sigmas_sample_the_same(kind):
    schedule = kind(6)
    levels = schedule.levels(torch.float32)
    outputs = []
    for sampler in (schedule, kind(sigmas=levels), kind(sigmas=[level for level in levels if level])):
        torch.manual_seed(0)
        outputs.append(sampler(gaussian_denoiser, torch.ones(2, 1, 2, 2), torch.randn_like))
        assert (sampler.num_steps, sampler.nfe) == (schedule.num_steps, schedule.nfe)
    # x starts at sigma_max, of which the first level is a rounding
    assert torch.allclose(outputs[0], outputs[1], rtol=1e-5, atol=0) and torch.equal(outputs[1], outputs[2])


def test_any_descending_levels_are_the_steps():
    noted = []
    sampler = EulerSampler(sigmas=(30.0, 7, 0.5))
    sampler(gaussian_denoiser, torch.ones(1, 1, 1, 1), no_noise, lambda step, sigma, x, x0: noted.append((step, sigma)))
    assert noted == [(0, 30.0), (1, 7.0), (2, 0.5)] and sampler.first_sigma == 30.0


def test_student_of_progressive_distillation_ends_at_the_last_sigma():
    sampler = ProgressiveDistillationSampler(sigmas=(30.0, 7.0, 0.5))
    assert sampler.num_steps == 2 and sampler.levels(torch.float32) == [30.0, 7.0, 0.5]


@pytest.mark.parametrize(
    'sigmas', [(), (0.0,), (1.0, 1.0), (1.0, 2.0), (2.0, -1.0), (float('inf'), 1.0), (1.0, 0.0, 0.0)]
)
def test_levels_that_do_not_descend_are_refused(sigmas):
    with pytest.raises(InputError, match='sigmas must be positive and strictly decrease'):
        HeunSampler(sigmas=sigmas)


@pytest.mark.parametrize('options', [{}, dict(num_steps=3, sigmas=(2.0, 1.0))])
def test_either_a_number_of_steps_or_levels_are_needed(options):
    with pytest.raises(InputError, match='give either num_steps or sigmas'):
        HeunSampler(**options)
