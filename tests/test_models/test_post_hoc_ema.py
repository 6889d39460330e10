"""Post-hoc EMA against EDM2's measured coefficients, and against averages that were kept during the training."""

import numpy as np
import pytest
import torch

from mmcm.models.ema_decays import PowerFunctionDecay, exponent_of
from mmcm.models.post_hoc_ema import Profile, fit_profile, inner_products
from support.parity import Fixture

EDM2 = Fixture('edm2_phema')
CASES = sorted({key.split('__')[0] for key in EDM2.arrays if key.startswith('coef_')})


def profiles(case, which):
    times, deviations = EDM2(case, f'{which}_ofs').tolist(), EDM2(case, f'{which}_std').tolist()
    return [Profile(*each) for each in zip(times, deviations)]


@pytest.mark.parametrize('case', CASES)
def test_coefficients_are_edm2s(case):
    saved, measured = profiles(case, 'in'), EDM2(case, 'coefficients').numpy()
    for column, wanted in enumerate(profiles(case, 'out')):
        # The tolerance of the measurement, relative to the largest coefficient of the column.
        np.testing.assert_allclose(fit_profile(saved, wanted).coefficients, measured[:, column], rtol=0, atol=1e-9)


@pytest.mark.parametrize('case', CASES)
def test_inner_products_are_edm2s(case):
    saved = profiles(case, 'in')
    if f'{case}__correlation' in EDM2:
        np.testing.assert_allclose(inner_products(saved, saved), EDM2(case, 'correlation').numpy(), rtol=1e-12)


def test_inner_product_is_the_integral():
    left, right = Profile(2.0, 0.2), Profile(3.0, 0.1)
    x = (np.arange(200_000) + 0.5) / 200_000 * 2  # both are positive up to the earlier end alone
    product = inner_products([left], [right])[0, 0]
    densities = [response(x, profile) for profile in (left, right)]
    assert product == pytest.approx(np.sum(densities[0] * densities[1]) * 2 / 200_000, rel=1e-6)
    assert product == inner_products([right], [left])[0, 0]


def response(tau, profile):
    """Return the profile at times `tau`, whose integral is 1."""
    gamma = exponent_of(profile.sigma_rel)
    return np.where(tau <= profile.time, (gamma + 1) * tau**gamma / profile.time ** (gamma + 1), 0)


def test_average_that_was_saved_is_itself():
    saved = [Profile(time, sigma_rel) for time in (100, 200) for sigma_rel in (0.05, 0.1)]
    for index, profile in enumerate(saved):
        fit = fit_profile(saved, profile)
        np.testing.assert_allclose(fit.coefficients, np.eye(4)[index], rtol=0, atol=1e-9)
        assert fit.error < 1e-6


def test_reconstruction_is_near_the_average_that_was_kept():
    """Of a smooth training with 16 checkpoints, within 1e-3 of its size, as the paper has it."""
    steps, every = 1600, 100
    time = torch.arange(1, steps + 1, dtype=torch.float64)
    weights = torch.stack([(time / 300).sin(), time.log(), (time / steps) ** 2], dim=1)

    def kept(sigma_rel):
        average, ends = weights[0], {}
        for step, online in enumerate(weights):
            average = torch.lerp(average, online, 1 - PowerFunctionDecay(sigma_rel).at(step, 1))
            ends[step + 1] = average
        return ends

    tracked = {sigma_rel: kept(sigma_rel) for sigma_rel in (0.05, 0.1)}
    ends = range(every, steps + 1, every)
    saved = [(Profile(end, sigma_rel), tracked[sigma_rel][end]) for end in ends for sigma_rel in tracked]
    for sigma_rel in (0.06, 0.08, 0.12):
        fit = fit_profile([profile for profile, _ in saved], Profile(steps, sigma_rel))
        found = sum(c * value for c, (_, value) in zip(fit.coefficients.tolist(), saved))
        expected = kept(sigma_rel)[steps]
        scale = weights.abs().max(dim=0).values
        assert float(((found - expected).abs() / scale).max()) < 1e-3
        assert fit.error < 0.05


def test_error_grows_away_from_what_was_saved():
    saved = [Profile(time, sigma_rel) for time in (100, 200, 300) for sigma_rel in (0.05, 0.1)]
    errors = [fit_profile(saved, Profile(300, sigma_rel)).error for sigma_rel in (0.07, 0.15, 0.02)]
    assert errors == sorted(errors) and errors[0] < 0.05 < errors[2]
