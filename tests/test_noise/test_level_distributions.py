import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.noise import (
    LognormalIndices,
    LognormalLevels,
    TruncatedLogStudentLevels,
    UniformIndices,
    UniformLevels,
    karras_sigmas,
)
from mmcm.registry import INDEX_DISTRIBUTIONS, SIGMA_DISTRIBUTIONS
from mmcm.utils.errors import InputError
from support.parity import Fixture


def test_lognormal_levels_are_the_references(monkeypatch):
    fixture = Fixture('denoiser')
    monkeypatch.setattr(torch, 'randn', lambda num, **options: fixture('lognormal', 'normal_draws'))
    assert_close(LognormalLevels()(16), fixture('lognormal', 'sigmas'), rtol=1e-6, atol=0)


def test_logarithm_of_lognormal_levels_is_normal():
    torch.manual_seed(0)
    logarithms = LognormalLevels(mean=0.5, std=2.0)(100000).log()
    assert logarithms.mean() == pytest.approx(0.5, abs=0.03)
    assert logarithms.std() == pytest.approx(2.0, rel=0.01)


def test_uniform_levels_are_uniform_on_the_schedule():
    """Karras et al. (2022), Eq. 5: sigma^(1 / rho) is linear in the position."""
    torch.manual_seed(0)
    sigmas = UniformLevels(sigma_min=0.01, sigma_max=50.0, rho=5.0)(100000)
    assert sigmas.shape == (100000,) and sigmas.min() >= 0.01 and sigmas.max() <= 50.001
    roots = (sigmas.double() ** (1 / 5) - 0.01 ** (1 / 5)) / (50.0 ** (1 / 5) - 0.01 ** (1 / 5))
    assert_close(roots.sort().values, torch.linspace(0, 1, 100000).double(), rtol=0, atol=0.006)


@pytest.mark.parametrize('num_scales', [11, 81, 1281])
def test_probabilities_are_the_references(num_scales):
    fixture = Fixture('ict')
    ascending = fixture(f'n{num_scales}', 'sigmas_ascending')
    probabilities = LognormalIndices().probabilities(ascending.flip(0))
    assert_close(probabilities, fixture(f'n{num_scales}', 'probabilities').flip(0).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize('uniform', [0.0, 0.3, 1.0])
def test_probabilities_are_positive_and_sum_to_one(uniform):
    probabilities = LognormalIndices(uniform=uniform).probabilities(karras_sigmas(40))
    assert probabilities.shape == (39,) and probabilities.min() > 0
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)


def test_uniform_share_is_spread_evenly():
    sigmas = karras_sigmas(40)
    plain = LognormalIndices().probabilities(sigmas)
    assert_close(LognormalIndices(uniform=0.3).probabilities(sigmas), 0.7 * plain + 0.3 / 39)
    assert_close(LognormalIndices(uniform=1.0).probabilities(sigmas), torch.full_like(plain, 1 / 39))


def test_ratio_of_two_intervals_is_that_of_their_normal_mass():
    def mass(low, high):  # of log sigma ~ N(-0.4, 1.5^2)
        return math.erf((math.log(high) + 0.4) / (1.5 * 2**0.5)) - math.erf((math.log(low) + 0.4) / (1.5 * 2**0.5))

    first, second = LognormalIndices(mean=-0.4, std=1.5).probabilities(torch.tensor([8.0, 1.0, 0.2])).tolist()
    assert first / second == pytest.approx(mass(1.0, 8.0) / mass(0.2, 1.0), rel=1e-6)


@pytest.mark.parametrize('levels', [UniformIndices(), LognormalIndices(uniform=0.5)])
def test_indices_name_every_interval_and_nothing_else(levels):
    torch.manual_seed(0)
    indices = levels(karras_sigmas(6), 1000)
    assert indices.shape == (1000,) and indices.dtype == torch.int64
    assert set(indices.tolist()) == set(range(5))


def test_indices_occur_as_often_as_their_probability_says():
    torch.manual_seed(0)
    sigmas, levels = karras_sigmas(6), LognormalIndices()
    shares = levels(sigmas, 100000).bincount(minlength=5) / 100000
    assert_close(shares.double(), levels.probabilities(sigmas), rtol=0, atol=0.006)


def test_range_that_cannot_be_is_refused():
    with pytest.raises(InputError, match='sigma_min 3.0, sigma_max 2.0'):
        UniformLevels(sigma_min=3.0, sigma_max=2.0)


@pytest.mark.parametrize('options', [dict(std=0.0), dict(uniform=-0.1), dict(uniform=1.1)])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError, match='in \\[0, 1\\]'):
        LognormalIndices(**options)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('levels', [LognormalLevels(), UniformLevels()], ids=lambda levels: type(levels).__name__)
def test_levels_do_not_depend_on_the_default_dtype(levels, dtype):
    torch.manual_seed(0)
    expected = levels(20)
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        drawn = levels(20)
    finally:
        torch.set_default_dtype(torch.float32)
    assert drawn.dtype == torch.float32 and torch.equal(drawn, expected)


def test_distributions_over_sigma_and_over_indices_are_no_substitutes_for_each_other():
    for registry, other in ((SIGMA_DISTRIBUTIONS, 'LognormalIndices'), (INDEX_DISTRIBUTIONS, 'LognormalLevels')):
        with pytest.raises(InputError, match=f"there is no {registry.name} '{other}'"):
            registry.build(dict(type=other))


def test_former_registry_registers_a_distribution_for_both_uses():
    import mmcm.registry

    with pytest.warns(DeprecationWarning, match='LEVELS is SIGMA_DISTRIBUTIONS and INDEX_DISTRIBUTIONS now'):
        levels = mmcm.registry.LEVELS
    assert isinstance(levels.build(dict(type='UniformIndices')), UniformIndices)

    @levels.register_module()
    class Constant:
        """Always the same."""

    try:
        assert SIGMA_DISTRIBUTIONS.get('Constant') is INDEX_DISTRIBUTIONS.get('Constant') is Constant
        assert isinstance(levels.build(dict(type='Constant')), Constant)
    finally:
        for registry in (SIGMA_DISTRIBUTIONS, INDEX_DISTRIBUTIONS):
            registry.module_dict.pop('Constant')


@pytest.mark.parametrize('df, mean, std, low', [(0.01, 0.0, 0.2, 1.0), (0.01, 0.0, 0.2, 2.0), (2, -1.1, 2.0, 0.002)])
def test_quantiles_of_the_truncated_log_student_are_the_references(df, mean, std, low):
    fixture, case = Fixture('tcm'), f'truncated_t_df{df}_mu{mean}_s{std}_lo{low}'
    levels = TruncatedLogStudentLevels(df, mean, std, sigma_min=low)
    assert_close(levels.quantiles(fixture(case, 'q')), fixture(case, 'ln_t'), rtol=0, atol=1e-9)
    ends = levels.quantiles(torch.tensor([0.0, 1.0])).exp()
    assert_close(ends, torch.tensor([low, 80.0], dtype=torch.float64), rtol=1e-12, atol=0)
    torch.manual_seed(0)
    drawn = levels(1000)
    assert drawn.dtype == torch.float32 and drawn.min() >= low and drawn.max() <= 80
    assert (drawn.log() < levels.quantiles(torch.tensor([0.5]))).double().mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize('options', [dict(df=0.0), dict(std=-1.0), dict(sigma_min=90.0)])
def test_truncated_log_student_that_cannot_be_is_refused(options):
    with pytest.raises(InputError):
        TruncatedLogStudentLevels(**options)
