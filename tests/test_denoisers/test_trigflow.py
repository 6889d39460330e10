import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser, TrigFlowDenoiser
from support.parity import Fixture, toy_denoiser

SIGMA = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0]).double()


class Listening(torch.nn.Module):
    """A network that remembers its inputs."""

    def forward(self, x, conditioning, labels=None):
        self.inputs = x, conditioning, labels
        return x


def draw():
    noise = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise * (1 + SIGMA.view(-1, 1, 1, 1))


@pytest.mark.parametrize('sigma_data', [0.5, 1.3])
def test_weights_of_edm_give_the_same_denoiser(sigma_data):
    fixture = Fixture('losses')
    backbone = toy_denoiser(fixture, 'model', boundary=False).double().backbone
    ours, edms = (
        kind(dict(type=lambda: backbone), sigma_data=sigma_data, **options)
        for kind, options in ((TrigFlowDenoiser, {}), (KarrasDenoiser, dict(boundary=False)))
    )
    assert_close(ours(draw(), SIGMA), edms(draw(), SIGMA), rtol=1e-10, atol=1e-10)


def test_network_gets_what_edms_gets():
    ours, edms = TrigFlowDenoiser(dict(type=Listening)), KarrasDenoiser(dict(type=Listening), boundary=False)
    labels = torch.arange(5)
    for denoiser in (ours, edms):
        denoiser(draw(), SIGMA, labels)
    for value, expected in zip(ours.backbone.inputs, edms.backbone.inputs):
        assert_close(value, expected, rtol=1e-10, atol=1e-10)


def test_with_a_scale_the_network_gets_the_angle():
    denoiser = TrigFlowDenoiser(dict(type=Listening), sigma_data=0.5, time_scale=3.0)
    denoiser(draw()[:1], torch.tensor([0.5]).double())
    assert denoiser.backbone.inputs[1].item() == pytest.approx(3 * math.pi / 4)  # tan = sigma / sigma_data = 1


def test_estimate_is_the_definition():
    """Lu & Song (2024), Section 3: f = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t)."""
    denoiser = TrigFlowDenoiser(dict(type=Listening), sigma_data=0.8, time_scale=1.0)
    x, t = draw()[:1], torch.tensor([0.7]).double()
    x_t = math.cos(0.7) * x
    F = denoiser.network(x_t / 0.8, t)
    assert_close(denoiser(x, 0.8 * t.tan()), math.cos(0.7) * x_t - math.sin(0.7) * 0.8 * F)


def test_estimate_without_noise_is_the_input():
    x = draw()
    toy = Fixture('losses')
    for time_scale, sigma, tolerance in ((1.0, 0.0, 0.0), (None, 1e-12, 1e-8)):
        denoiser = toy_denoiser(
            toy,
            'model',
            None,
            kind=lambda backbone, boundary, time_scale=time_scale: TrigFlowDenoiser(backbone, time_scale=time_scale),
        ).double()
        assert_close(denoiser(x, torch.full((5,), sigma).double()), x, rtol=0, atol=tolerance)
