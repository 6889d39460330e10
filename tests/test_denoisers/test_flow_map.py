from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import FlowMapDenoiser, GuidanceInputs
from mmcm.noise.linear_path import PURE_NOISE, sigma_of, time_of
from mmcm.utils.errors import InputError
from support.digits import BACKBONE
from support.flow_maps import ScaledVelocity, gaussian_flow_map
from support.parity import gaussian_consistency, gaussian_denoiser

MEAN, STD = 0.3, 0.2
SIGMA = torch.tensor([0.01, 0.2, 1.0, 7.0, 80.0]).double()


def column(values):
    return values.view(-1, 1, 1, 1)


def images():
    return torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double() * column(SIGMA)


def test_step_to_no_noise_is_the_consistency_function():
    denoiser = gaussian_flow_map(mean=MEAN, std=STD)
    expected = gaussian_consistency(images(), SIGMA, MEAN, STD)
    assert_close(denoiser(images(), SIGMA), expected)
    assert_close(denoiser(images(), SIGMA, next_sigma=torch.zeros(5).double()), expected)


def test_step_of_no_length_is_the_diffusion_model():
    denoiser = gaussian_flow_map(mean=MEAN, std=STD)
    assert_close(denoiser(images(), SIGMA, next_sigma=SIGMA), gaussian_denoiser(images(), SIGMA, MEAN, STD))


def test_eulers_step_leads_along_the_trajectory():
    """Where the trajectory through x is at the next level, consistency maps to the same image."""
    denoiser = gaussian_flow_map(mean=MEAN, std=STD)
    next_sigma = SIGMA * torch.tensor([0.1, 0.5, 0.9, 0.3, 0.01]).double()
    x = images()
    moved = x + (x - denoiser(x, SIGMA, next_sigma=next_sigma)) / column(SIGMA) * column(next_sigma - SIGMA)
    assert_close(gaussian_consistency(moved, next_sigma, MEAN, STD), gaussian_consistency(x, SIGMA, MEAN, STD))


def test_image_without_noise_is_returned():
    x = images()
    assert torch.equal(gaussian_flow_map()(x, torch.zeros(5).double()), x)


def test_pure_noise_reaches_the_network_bit_for_bit():
    noise = torch.randn(3, 1, 4, 4)
    denoiser = FlowMapDenoiser(dict(type=Listening))
    sigma = torch.full((3,), sigma_of(1.0))
    denoiser(noise * sigma_of(1.0), sigma)
    z, t, _, conditions = denoiser.backbone.seen
    assert torch.equal(z, noise) and (t == 1).all() and (conditions == 1).all()


def test_time_and_level_are_inverse():
    t = torch.tensor([0.0, 0.2, 0.5, 0.9]).double()
    assert_close(time_of(sigma_of(t)), t)
    assert [sigma_of(value) for value in (0.0, 0.5, 0.75, 1.0)] == [0.0, 1.0, 3.0, PURE_NOISE]
    assert sigma_of(torch.ones(1)) == PURE_NOISE and time_of(PURE_NOISE) == 1.0
    assert torch.tensor(PURE_NOISE).square().isfinite()


class Listening(nn.Module):
    """Remembers its arguments, and returns as many images as it is told to."""

    def __init__(self, outputs=1):
        super().__init__()
        self.outputs = outputs

    def forward(self, z, t, labels, conditions):
        self.seen = z, t, labels, conditions
        return torch.cat([(index + 1) * z for index in range(self.outputs)], dim=1)


def test_network_gets_scaled_times_and_labels():
    denoiser = FlowMapDenoiser(dict(type=Listening), time_scale=4.0)
    z, t, r, labels = torch.randn(2, 1, 2, 2), torch.tensor([0.9, 0.5]), torch.tensor([0.1, 0.5]), torch.arange(2)
    u, v = denoiser(z, t, labels, next_sigma=r, velocities=True)
    seen = denoiser.backbone.seen
    assert v is None and torch.equal(u, z) and torch.equal(seen[0], z) and torch.equal(seen[2], labels)
    assert_close(seen[1], torch.tensor([3.6, 2.0]))
    assert_close(seen[3], torch.tensor([[3.2], [0.0]]))


def test_guided_network_gets_scale_and_interval():
    denoiser = FlowMapDenoiser(
        dict(type=Listening), time_scale=2.0, guided=True, guidance=4.0, guidance_interval=(0.1, 0.6)
    )
    z, t = torch.randn(2, 1, 2, 2), torch.tensor([0.9, 0.5])
    call = partial(denoiser, z, t, next_sigma=torch.zeros(2), velocities=True)
    call()
    assert_close(denoiser.backbone.seen[3], 2 * torch.tensor([[0.9, 0.75, 0.1, 0.6], [0.5, 0.75, 0.1, 0.6]]))
    call(guidance=GuidanceInputs(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.3]), torch.tensor([1.0, 0.8])))
    assert_close(denoiser.backbone.seen[3], 2 * torch.tensor([[0.9, 0.0, 0.0, 1.0], [0.5, 0.5, 0.3, 0.8]]))


def test_second_half_of_the_output_is_the_velocity_of_the_head():
    denoiser = FlowMapDenoiser(dict(type=Listening, outputs=2), velocity_head=True)
    z, t = torch.randn(2, 3, 2, 2), torch.tensor([0.9, 0.5])
    u, v = denoiser(z, t, next_sigma=t, velocities=True)
    assert torch.equal(u, z) and torch.equal(v, 2 * z)
    plain = FlowMapDenoiser(dict(type=Listening))
    assert torch.equal(denoiser(z, t), plain(z, t))  # sampling does without


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(time_scale=0.0), 'time_scale'),
        (dict(guidance=2.0), 'guided=True'),
        (dict(guided=True, guidance=0.5), 'from 1 on'),
        (dict(guided=True, guidance_interval=(0.8, 0.2)), 'the smaller time first'),
        (dict(guided=True, guidance_interval=0.5), 'two times'),
        (dict(noise_scale=0.0), 'noise_scale'),
        (dict(prediction='noise'), 'velocity, x'),
        (dict(backbone=dict(BACKBONE)), 'num_conditions=1'),
        (dict(backbone=dict(BACKBONE, num_conditions=1), guided=True), 'num_conditions=4'),
        (dict(backbone=dict(BACKBONE, num_conditions=1), velocity_head=True), 'out_channels=2'),
        (dict(backbone=dict(BACKBONE, num_conditions=1, out_channels=2)), 'out_channels=1'),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, match):
    with pytest.raises(InputError, match=match):
        FlowMapDenoiser(**{'backbone': dict(type=Listening), **changes})


@pytest.mark.parametrize('prediction', ['velocity', 'x'])
@pytest.mark.parametrize('scale', [1.0, 2.0, 4.0])
def test_levels_are_those_of_the_noise_whatever_its_scale(scale, prediction):
    network = dict(type=ScaledVelocity, scale=scale, prediction=prediction, mean=MEAN, std=STD)
    denoiser = FlowMapDenoiser(network, noise_scale=scale, prediction=prediction)
    sigma = torch.tensor([0.5, 0.8, 1.0, 7.0, 80.0]).double()  # t is 0.1 at least
    x = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double() * column(sigma)
    assert_close(denoiser(x, sigma), gaussian_consistency(x, sigma, MEAN, STD))
    assert_close(denoiser(x, sigma, next_sigma=sigma), gaussian_denoiser(x, sigma, MEAN, STD))


def test_predictions_of_images_are_divided_by_no_small_time():
    """u = (z - x) / max(t, 0.05), of the network's output and of the path alike."""
    denoiser = FlowMapDenoiser(dict(type=Listening, outputs=2), prediction='x', velocity_head=True, noise_scale=2.0)
    x0, noise, t = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), torch.tensor([1.0, 0.05, 0.01])
    z = (1 - column(t)) * x0 + column(t) * 2 * noise
    divisor = column(torch.tensor([1.0, 0.05, 0.05]))
    assert_close(denoiser.path_velocity(x0, 2 * noise, z, t), (z - x0) / divisor)
    u, v = denoiser(z, t, next_sigma=t, velocities=True)
    assert not u.any()  # the output is z
    assert_close(v, -z / divisor)  # and 2 z


def test_velocity_of_the_path_is_the_difference_of_noise_and_image():
    x0, noise, t = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), torch.tensor([1.0, 0.05, 0.01])
    assert torch.equal(FlowMapDenoiser(dict(type=Listening)).path_velocity(x0, noise, x0, t), noise - x0)


def test_image_without_noise_is_returned_by_predictions_of_images():
    denoiser = FlowMapDenoiser(dict(type=Listening, outputs=1), prediction='x', noise_scale=4.0)
    x = torch.randn(2, 1, 2, 2)
    assert torch.equal(denoiser(x, torch.zeros(2)), x)
