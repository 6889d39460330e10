import re

import pytest
import torch

from mmcm.noise import check_range, karras_sigma, karras_sigmas
from mmcm.utils.errors import InputError
from support.parity import Fixture, close, level_ulps


@pytest.mark.parametrize('name', list(Fixture('sigmas_karras').arrays))
def test_levels_are_the_references(name):
    expected = Fixture('sigmas_karras')(name)
    count, *options = re.match(r'n(\d+)(?:_min(.+)_max(.+)_rho(.+))?$', name).groups()
    options = dict(zip(('sigma_min', 'sigma_max', 'rho'), map(float, options))) if options[0] else {}
    exact = karras_sigmas(int(count), **options)
    ulps = level_ulps(exact, **{key: value for key, value in options.items() if key != 'sigma_min'})
    # Float64 is the judge: in single precision the reference is off by as much as we are, and on another processor than
    # the one it was measured on, by another amount.
    close(karras_sigmas(int(count), dtype=torch.float32, **options), exact, ulps)
    close(expected[:-1], exact, ulps)


def test_levels_in_double_precision_are_those_of_the_formula():
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    close(karras_sigmas(18), torch.tensor(expected, dtype=torch.float64), level_ulps(torch.tensor(expected)))


def test_levels_are_evenly_spaced_in_the_power_one_over_rho():
    roots = karras_sigmas(9, sigma_min=0.01, sigma_max=50.0, rho=5.0) ** (1 / 5)
    torch.testing.assert_close(roots.diff(), torch.full((8,), (0.01**0.2 - 50**0.2) / 8, dtype=torch.float64))


def test_schedule_ends_at_its_range():
    sigma = karras_sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(sigma, torch.tensor([80.0, 0.002], dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    'arguments', [(-0.1, 80.0, 7.0), (80.0, 0.002, 7.0), (1.0, 1.0, 7.0), (0.002, 80.0, 0.0), (float('nan'), 80.0, 7.0)]
)
def test_range_that_cannot_be_is_refused(arguments):
    with pytest.raises(InputError, match=f'sigma_min {arguments[0]}, sigma_max {arguments[1]}, rho {arguments[2]}'):
        check_range(*arguments)
