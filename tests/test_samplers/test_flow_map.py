import pytest
import torch
from torch.testing import assert_close

from mmcm.noise.linear_path import PURE_NOISE
from mmcm.samplers import EulerSampler, FlowMapSampler, HeunSampler, MultistepSampler
from mmcm.utils.errors import InputError
from support.flow_maps import gaussian_flow_map
from support.parity import ReplayedNoise
from support.transformers import Transformer

MEAN, STD = 0.3, 0.2


def noise():
    return torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize(
    'options', [dict(num_steps=1), dict(num_steps=4), dict(times=(1.0, 0.7, 0.05)), dict(times=(1.0, 0.4, 0.1))]
)
def test_any_steps_of_the_exact_map_end_at_the_same_image(options):
    images = FlowMapSampler(**options)(gaussian_flow_map(mean=MEAN, std=STD), noise(), None)
    assert_close(images, MEAN + STD * noise())


def test_first_time_may_be_below_one():
    """The noise then is that of the time: the rest of the trajectory is the same up to what is left of the image."""
    x = FlowMapSampler(times=(0.999,))(gaussian_flow_map(mean=0.0, std=STD), noise(), None)
    deviation = ((0.001 * STD) ** 2 + 0.999**2) ** 0.5
    assert_close(x, STD * noise() * 0.999 / deviation)


@pytest.mark.parametrize('num_steps', [1, 3])
def test_callback_sees_each_step(num_steps):
    seen = []
    sampler = FlowMapSampler(num_steps)
    images = sampler(gaussian_flow_map(), noise(), None, lambda *step: seen.append(step))
    steps, sigmas, inputs, outputs = zip(*seen)
    assert steps == tuple(range(num_steps)) and sampler.num_steps == sampler.nfe == num_steps
    assert sigmas == ((PURE_NOISE,) if num_steps == 1 else pytest.approx((PURE_NOISE, 2.0, 0.5)))
    assert sampler.first_sigma == PURE_NOISE and torch.equal(outputs[-1], images)
    assert all(x.shape == images.shape for x in inputs)


def test_each_step_says_where_it_leads():
    levels = []

    def denoise(x, sigma, next_sigma):
        levels.append((sigma[0].item(), next_sigma[0].item()))
        return x / (1 + sigma[0])

    FlowMapSampler(times=(1.0, 0.75, 0.5))(denoise, noise(), None)
    assert levels == [(PURE_NOISE, 3.0), (3.0, 1.0), (1.0, 0.0)]
    levels.clear()
    FlowMapSampler(times=(1.0, 0.5), stochastic=True)(denoise, noise(), torch.randn_like)
    assert levels == [(PURE_NOISE, 0.0), (1.0, 0.0)]


def test_stochastic_steps_are_multistep_consistency_sampling():
    fresh = torch.randn(1, 4, 1, 3, 3).double()
    denoiser = gaussian_flow_map(mean=0.1, std=0.7)
    ours = FlowMapSampler(times=(1.0, 0.6), stochastic=True)(denoiser, noise(), ReplayedNoise(fresh))
    theirs = MultistepSampler(sigmas=(PURE_NOISE, 1.5), sigma_min=0.0)(denoiser, noise(), ReplayedNoise(fresh))
    assert_close(ours, theirs)


def test_only_solvers_follow_the_ode_and_only_flow_maps_are_told_where_steps_lead():
    assert HeunSampler(2).follows_ode and EulerSampler(2).follows_ode
    assert not FlowMapSampler(1).follows_ode and not MultistepSampler(sigmas=(80.0,)).follows_ode
    assert FlowMapSampler(1).needs_flow_map and not HeunSampler(2).needs_flow_map


@pytest.mark.parametrize(
    'options, match',
    [
        ({}, 'either num_steps or times'),
        (dict(num_steps=2, times=(1.0,)), 'either num_steps or times'),
        (dict(num_steps=0), 'num_steps'),
        (dict(times=()), 'strictly decrease'),
        (dict(times=(0.5, 0.5)), 'strictly decrease'),
        (dict(times=(1.5, 0.5)), 'from 1 at most'),
        (dict(times=(1.0, 0.0)), 'leads to 0 by itself'),
        (dict(times='1.0'), 'numbers'),
    ],
)
def test_steps_that_cannot_be_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        FlowMapSampler(**options)


@pytest.mark.parametrize('size, noise_scale', [('B', 1.0), ('H', 2.0)])
@pytest.mark.parametrize('num_steps', [1, 2])
@torch.no_grad()
def test_samples_of_pmf_are_the_references(size, noise_scale, num_steps):
    check_samples('pmf', f'generate_pmfDiT_{size}_16_{num_steps}', num_steps, noise_scale)


@pytest.mark.parametrize('num_steps', [1, 2, 4])
@torch.no_grad()
def test_samples_of_imf_are_the_references(num_steps):
    check_samples('imf', f'generate_{num_steps}', num_steps, 1.0)


def check_samples(name, case, num_steps, noise_scale):
    small = Transformer(name)
    options = small.fixture.meta['cases'][case]
    assert options['noise_scale'] == noise_scale and options['num_steps'] == num_steps
    denoiser = small.denoiser(
        noise_scale=noise_scale, guidance=options['omega'], interval=(options['t_min'], options['t_max'])
    )
    sampler = FlowMapSampler(num_steps, noise_scale=noise_scale)

    def denoise(x, sigma, next_sigma):
        return denoiser(x, sigma, small('labels'), next_sigma=next_sigma)

    images = sampler(denoise, small(case, 'unit_noise'), randn_like=None)
    expected = small(case, 'output')
    torch.testing.assert_close(images, expected, rtol=0, atol=3e-5 * expected.abs().max().item())


def test_one_step_does_not_depend_on_the_noise_scale_of_the_sampler():
    small = Transformer('pmf')
    denoiser = small.denoiser(noise_scale=2.0)
    noise, labels = torch.randn(3, 3, 16, 16), small('labels')
    images = [
        FlowMapSampler(1, noise_scale=scale)(
            lambda x, sigma, next_sigma: denoiser(x, sigma, labels, next_sigma=next_sigma), noise, None
        )
        for scale in (1.0, 2.0)
    ]
    assert torch.equal(*images)
