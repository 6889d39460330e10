import torch
from digits import build

from mmcm.editing import Denoising, Guide
from mmcm.noise.generators import SampleNoise
from mmcm.samplers import MultistepSampler

PICTURES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_drawing_starts_from_noise_around_the_picture():
    model, sampler = build(), MultistepSampler(sigmas=(2.0, 0.5))
    edited = model.edit(PICTURES, Guide(), [3, 4], noise=SampleNoise([7, 8]), sampler=sampler)
    latents = SampleNoise([7, 8]).randn_like(PICTURES) + PICTURES / 2.0
    noise = SampleNoise([7, 8])
    noise.randn_like(PICTURES)  # the one that covered the picture
    torch.testing.assert_close(edited[:, 0], model.sample(2, [3, 4], noise, latents, sampler))


def test_less_noise_keeps_more_of_the_picture():

    def moved(sigma):
        edited = build().edit(PICTURES, Guide(), 3, sampler=MultistepSampler(sigmas=(sigma, )))
        return (edited[:, 0] - PICTURES).square().mean()

    assert moved(0.01) < moved(0.1) < moved(1.0)


def test_noisy_picture_is_where_denoising_starts():
    model = build()
    denoised = model.edit(PICTURES, Denoising(), [3, 4], sampler=MultistepSampler(sigmas=(0.3, )))
    expected = model.drawing_denoiser(PICTURES, torch.full((2, ), 0.3), torch.tensor([3, 4])).clamp(-1, 1)
    torch.testing.assert_close(denoised[:, 0], expected)
