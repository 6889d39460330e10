import pytest
import torch

from mmcm.models.editing import constrain, editing_sampler
from mmcm.operators import Inpainting, SuperResolution
from mmcm.registry import OPERATORS
from mmcm.samplers import DPM2Sampler, EulerAncestralSampler, EulerSampler, HeunSampler, MultistepSampler
from support.parity import gaussian_consistency, gaussian_denoiser


def test_drawn_part_has_the_spread_of_the_data_whatever_is_known():
    """With independent pixels, N(0, 0.5^2) each, the known ones say nothing about the others."""
    torch.manual_seed(0)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    known = torch.full((1000, 1, 8, 8), 0.7)
    denoise = constrain(gaussian_consistency, Inpainting(mask), known)
    edited = editing_sampler()(denoise, torch.randn(1000, 1, 8, 8), torch.randn_like)
    assert torch.equal(edited[..., :4], known[..., :4])
    assert edited[..., 4:].std() == pytest.approx(0.5, rel=0.02)
    assert edited[..., 4:].mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize('sampler', [HeunSampler(8), DPM2Sampler(8), EulerSampler(8), EulerAncestralSampler(8)])
def test_every_sampler_can_edit(sampler):
    torch.manual_seed(0)
    operator = SuperResolution(2)
    known = operator.degrade(torch.rand(2, 1, 8, 8))
    edited = sampler(constrain(gaussian_denoiser, operator, known), torch.randn(2, 1, 8, 8), torch.randn_like)
    torch.testing.assert_close(operator.degrade(edited), known, rtol=0, atol=1e-5)
    assert (edited - known).std() > 0.1


def test_consistency_models_edit_in_many_levels_of_their_own_range():
    assert editing_sampler().num_calls == 39
    levels = editing_sampler(MultistepSampler(sigmas=(50.0, 2.0), sigma_min=0.01)).sigmas
    schedule = MultistepSampler(indices=tuple(range(39)), num_scales=40, sigma_min=0.01, sigma_max=50.0).sigmas
    assert levels == pytest.approx(schedule, rel=1e-12)


def test_other_models_edit_as_they_draw():
    sampler = HeunSampler(18)
    assert editing_sampler(sampler) is sampler


def test_operators_are_built_from_configs():
    assert OPERATORS.build(dict(type='SuperResolution', factor=4)).factor == 4
    assert OPERATORS.build(dict(type='Colorization')).degrade(torch.ones(1, 3, 1, 1)).shape == (1, 3, 1, 1)
