import pytest
import torch

from mmcm.models.editing import constrain
from mmcm.noise.generators import SampleNoise
from mmcm.operators import Denoising, SDEdit
from mmcm.registry import OPERATORS
from mmcm.samplers import MultistepSampler
from support.digits import build
from support.parity import gaussian_consistency

PICTURES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_drawing_starts_from_noise_around_the_picture():
    model, sampler = build(), MultistepSampler(sigmas=(2.0, 0.5))
    edited = model.edit(PICTURES, SDEdit(), [3, 4], noise=SampleNoise([7, 8]), sampler=sampler)
    latents = SampleNoise([7, 8]).randn_like(PICTURES) + PICTURES / 2.0
    noise = SampleNoise([7, 8])
    noise.randn_like(PICTURES)  # the one that covered the picture
    torch.testing.assert_close(edited[:, 0], model.sample(2, [3, 4], noise, latents, sampler))


def test_less_noise_keeps_more_of_the_picture():

    def moved(sigma):
        edited = build().edit(PICTURES, SDEdit(), 3, sampler=MultistepSampler(sigmas=(sigma,)))
        return (edited[:, 0] - PICTURES).square().mean()

    assert moved(0.01) < moved(0.1) < moved(1.0)


def test_noisy_picture_is_where_denoising_starts():
    model = build()
    denoised = model.edit(PICTURES, Denoising(), [3, 4], sampler=MultistepSampler(sigmas=(0.3,)))
    expected = model.inference_denoiser(PICTURES, torch.full((2,), 0.3), torch.tensor([3, 4])).clamp(-1, 1)
    torch.testing.assert_close(denoised[:, 0], expected)


def drawn(operator, picture, sampler):
    """Return what the exact consistency function of N(0, 0.5^2) draws from a thousand copies of a picture."""
    torch.manual_seed(0)
    known = torch.full((1000, 1, 8, 8), picture)
    start = operator.start(known, torch.randn_like(known), sampler.first_sigma)
    return sampler(constrain(gaussian_consistency, operator, known), start, torch.randn_like)


@pytest.mark.parametrize('levels', [(1.0,), (2.0, 0.5), (5.38, 2.24)])
def test_results_of_gaussian_data_have_the_mean_and_the_spread_that_follow_from_the_levels(levels):
    """Each level multiplies by g = 0.5 / sqrt(0.25 + sigma^2), after noise of that level was added."""
    mean, variance = 0.6, 0.0
    for sigma in levels:
        gain = 0.5 / (0.25 + sigma**2) ** 0.5
        mean, variance = gain * mean, gain**2 * (variance + sigma**2)
    images = drawn(SDEdit(), 0.6, MultistepSampler(sigmas=levels, sigma_min=0.0))
    assert images.mean() == pytest.approx(mean, abs=0.01)
    assert images.std() == pytest.approx(variance**0.5, rel=0.02)


def test_denoised_gaussian_data_are_what_the_consistency_function_makes_of_them():
    images = drawn(Denoising(), 0.6, MultistepSampler(sigmas=(0.8,), sigma_min=0.0))
    torch.testing.assert_close(images, torch.full_like(images, 0.6 * 0.5 / (0.25 + 0.64) ** 0.5))


def test_denoised_pictures_have_the_spread_of_the_data_and_are_closer_to_them():
    """Of N(0, 0.5^2) data with noise: the covariance of result and data is 0.25 g, g = 0.5 / sqrt(0.25 + sigma^2)."""
    torch.manual_seed(0)
    clean, sampler = 0.5 * torch.randn(1000, 1, 8, 8), MultistepSampler(sigmas=(0.4,), sigma_min=0.0)
    noisy = clean + 0.4 * torch.randn_like(clean)
    start = Denoising().start(noisy, torch.randn_like(noisy), sampler.first_sigma)
    denoised = sampler(constrain(gaussian_consistency, Denoising(), noisy), start, torch.randn_like)
    assert denoised.std() == pytest.approx(0.5, rel=0.01)
    assert (denoised * clean).mean() == pytest.approx(0.25 * 0.5 / (0.25 + 0.16) ** 0.5, rel=0.02)
    assert (denoised - clean).std() < 0.9 * (noisy - clean).std()


@pytest.mark.parametrize('name', ['SDEdit', 'Guide'])
def test_sdedit_is_built_by_its_former_name_too(name):
    assert type(OPERATORS.build(dict(type=name))) is SDEdit
