import pytest
import torch

from mmcm.noise import karras_sigmas
from mmcm.samplers import MultistepSampler, Sampler
from mmcm.utils.errors import InputError
from support.parity import gaussian_consistency, gaussian_denoiser


def no_noise(x):
    raise AssertionError('one level needs no further noise')


def test_two_steps_keep_the_spread_of_gaussian_data():
    torch.manual_seed(0)
    sampler = MultistepSampler(sigmas=(80.0, 1.5), sigma_min=0.0)
    x0 = sampler(gaussian_consistency, torch.randn(1000, 1, 10, 10), torch.randn_like)
    assert x0.std() == pytest.approx(0.5, rel=0.02)


def test_added_noise_leaves_an_image_of_level_sigma_min_at_the_next_level():
    """Song et al. (2023, Algorithm 1): the variance sigma_min^2 is there already."""
    torch.manual_seed(0)
    sampler = MultistepSampler(sigmas=(2.0,), sigma_min=0.3)
    noised = sampler.add_noise(torch.zeros(1000, 1, 10, 10), 0.5, torch.randn_like)
    assert noised.std() == pytest.approx(0.4, rel=0.02)


def test_one_level_is_one_call_on_the_noise_of_that_level():
    noise = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    seen = []

    def denoise(x, sigma):
        seen.append((x, sigma))
        return torch.ones_like(x)

    sampler = MultistepSampler(sigmas=(3.0,))
    result = sampler(denoise, noise, no_noise)
    ((x, sigma),) = seen
    assert sampler.nfe == sampler.num_steps == 1
    assert torch.equal(x, 3 * noise) and torch.equal(sigma, torch.tensor([3.0, 3.0]))
    assert torch.equal(result, torch.ones_like(noise))


def test_first_index_needs_no_schedule():
    assert MultistepSampler(indices=(0,), sigma_max=50.0).sigmas == [50.0]


def test_indices_name_levels_of_the_schedule():
    schedule = karras_sigmas(40, 0.01, 50.0, 5.0).tolist()
    sampler = MultistepSampler(indices=[0, 22, 38], num_scales=40, sigma_min=0.01, sigma_max=50.0, rho=5.0)
    assert sampler.sigmas == [schedule[0], schedule[22], schedule[38]]


def test_end_level_noises_the_result():
    torch.manual_seed(0)
    sampler = MultistepSampler(sigmas=(80.0,), sigma_min=0.3, sigma_end=0.5)
    result = sampler(lambda x, sigma: torch.ones_like(x), torch.randn(100, 1, 10, 10), torch.randn_like)
    assert result.mean() == pytest.approx(1, abs=0.02) and result.std() == pytest.approx(0.4, rel=0.02)


def test_callback_hears_of_every_level_once():
    heard = []
    x0 = MultistepSampler(sigmas=(80.0, 1.5, 0.5))(
        gaussian_denoiser, torch.ones(2, 1, 4, 4), torch.zeros_like, lambda *report: heard.append(report)
    )
    assert [(step, sigma) for step, sigma, _, _ in heard] == [(0, 80.0), (1, 1.5), (2, 0.5)]
    assert torch.equal(heard[0][2], torch.full((2, 1, 4, 4), 80.0))
    for _, sigma, x, estimate in heard:
        assert torch.equal(estimate, gaussian_denoiser(x, torch.tensor([sigma, sigma])))
    assert torch.equal(x0, heard[-1][3])


def test_images_keep_the_dtype_of_the_noise():
    noise = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    assert MultistepSampler(sigmas=(80.0, 1.5))(gaussian_denoiser, noise, torch.randn_like).dtype == torch.float64


@pytest.mark.parametrize(
    'options, match',
    [
        (dict(), 'either sigmas or indices'),
        (dict(sigmas=(80.0,), indices=(0,)), 'either sigmas or indices'),
        (dict(indices=(0, 5)), 'need num_scales'),
        (dict(indices=(0,), num_scales=1), 'got 1'),
        (dict(indices=(0, 40), num_scales=40), r'\[0, 38\]'),
        (dict(indices=(0, 39), num_scales=40), 'The last level, 39, has no noise'),
        (dict(indices=(-1,), num_scales=40), r'\[0, 38\]'),
        (dict(indices=(), num_scales=40), r'\[0, 38\]'),
        (dict(indices=(5, 0), num_scales=40), 'strictly decrease'),
        (dict(indices=(0, 0), num_scales=40), 'strictly decrease'),
        (dict(sigmas=()), 'strictly decrease'),
        (dict(sigmas=(1.5, 80.0)), 'strictly decrease'),
        (dict(sigmas=(80.0, 80.0)), 'strictly decrease'),
        (dict(sigmas=(80.0, 0.002)), 'stay above sigma_min 0.002'),
        (dict(sigmas=(80.0,), sigma_min=100.0), 'sigma_min < sigma_max'),
        (dict(sigmas=(80.0,), sigma_min=-1.0), 'sigma_min < sigma_max'),
        (dict(sigmas=(80.0,), rho=0.0), 'rho > 0'),
        (dict(sigmas=(80.0,), sigma_end=0.001), 'sigma_end'),
        (dict(sigmas=(80.0,), sigma_end=float('nan')), 'sigma_end'),
        (dict(sigmas=(80.0,), sigma_end=float('inf')), 'sigma_end'),
        (dict(sigmas=(80.0, float('nan'))), 'strictly decrease'),
    ],
)
def test_levels_that_cannot_be_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        MultistepSampler(**options)


def test_num_calls_is_the_former_name_of_nfe():
    with pytest.warns(DeprecationWarning, match='nfe now'):
        assert MultistepSampler(sigmas=(80.0, 1.5)).num_calls == 2
    with pytest.warns(DeprecationWarning, match='num_calls of Former is to be called nfe'):

        class Former(Sampler):
            num_steps = num_calls = property(lambda self: 7)
            first_sigma = 80.0

            def __call__(self, denoise, noise, randn_like, callback=None):
                return noise

    assert Former().nfe == Former().num_calls == 7


def test_former_sampler_may_ask_the_class_above_for_its_num_calls():
    with pytest.warns(DeprecationWarning):

        class Twice(MultistepSampler):
            @property
            def num_calls(self):
                return 2 * super().num_calls

    with pytest.warns(DeprecationWarning, match='num_calls of a sampler is nfe now'):
        assert Twice(sigmas=(80.0, 1.5)).nfe == 4
