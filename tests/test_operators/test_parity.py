"""Editing against the released program: the same noises, the same analytic denoiser in place of the network."""

import pytest
import torch

from mmcm.models.editing import constrain
from mmcm.operators import Colorization, Inpainting, SuperResolution
from mmcm.samplers import MultistepSampler
from support.parity import Fixture, ReplayedNoise, gaussian_denoiser


def edit(fixture, operator, known):
    """Return what the levels of the measurements make of its noises, and what the denoiser was given."""
    seen = []

    def denoise(x, sigma):
        seen.append(x)
        return gaussian_denoiser(x, sigma).clamp(-1, 1)

    *indices, _ = fixture.meta['ts']
    sampler = MultistepSampler(indices=indices, num_scales=fixture.meta['steps'])
    noise = fixture('x_T') / sampler.first_sigma
    edited = sampler(constrain(denoise, operator, known), noise, ReplayedNoise(fixture('noises')))
    return edited, torch.stack(seen)


@pytest.mark.parametrize(
    'name, operator', [('editing_colorization', Colorization()), ('editing_superres', SuperResolution(8))]
)
def test_projection_and_result_are_those_of_the_released_code(name, operator):
    fixture = Fixture(name)
    known = operator.degrade(fixture('images'))
    torch.testing.assert_close(operator.keep(known, torch.zeros_like(known)), fixture('degraded'), rtol=0, atol=1e-6)
    edited, seen = edit(fixture, operator, known)
    torch.testing.assert_close(edited, fixture('output'), rtol=0, atol=2e-6)
    torch.testing.assert_close(seen, fixture('denoiser_x'), rtol=0, atol=1e-5)


def test_inpainting_is_that_of_the_released_code():
    fixture = Fixture('editing_inpainting')
    mask = 1 - fixture('mask')[:, :1].float()  # there, 1 is known
    operator = Inpainting(mask)
    known = operator.degrade(fixture('images'))
    edited, _ = edit(fixture, operator, known)
    torch.testing.assert_close(edited, fixture('output'), rtol=0, atol=2e-6)
    kept = fixture('mask').bool()
    assert torch.equal(known[kept], fixture('degraded')[kept])
    assert fixture('degraded')[~kept].unique().tolist() == [-1] and known[~kept].unique().tolist() == [0]
