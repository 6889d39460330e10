import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import FlowMapDenoiser
from mmcm.objectives import Networks, PixelMeanFlow
from mmcm.utils.errors import InputError
from support.flow_maps import ScaledVelocity
from support.parity import ReplayedNoise

TIMES = torch.tensor([0.9, 0.8, 0.5, 0.3])


class Halving(nn.Module):
    """Estimates the image as half of the noisy one."""

    null_label = 3

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, z, t, labels, conditions):
        return self.factor * z


def losses(prediction='x', noise_scale=2.0, **settings):
    """Return the noisy images and what the objective returns for steps of no length from `TIMES`."""
    torch.manual_seed(0)
    objective = PixelMeanFlow(power=0.0, **settings)
    objective.draw = lambda num: torch.stack([TIMES, TIMES, *torch.rand(3, num)], dim=1)
    denoiser = FlowMapDenoiser(dict(type=Halving), prediction=prediction, noise_scale=noise_scale)
    x0 = torch.randn(4, 1, 2, 2)
    state = torch.get_rng_state()
    log = objective(Networks(denoiser), x0, None, 0)
    torch.set_rng_state(state)
    torch.rand(3, 4)  # of `draw`
    t = TIMES.view(-1, 1, 1, 1)
    return x0, (1 - t) * x0 + t * noise_scale * torch.randn_like(x0), log


def test_error_is_that_of_the_image_over_the_time_squared():
    x0, z, log = losses()
    assert_close(log['loss'], ((0.5 * z - x0).square().flatten(1).sum(1)) / TIMES**2)
    assert_close(log['sigma'], 2 * TIMES / (1 - TIMES))


def test_distance_is_that_of_the_image_at_early_times():
    x0, z, plain = losses()
    _, _, log = losses(distance=dict(type='L1'), distance_weight=0.25, distance_max_time=0.8)
    distance = (0.5 * z - x0).abs().flatten(1).mean(1) * torch.tensor([0.0, 0, 1, 1])
    assert_close(log['distance'], distance)
    assert_close(log['loss'], plain['loss'] + 0.25 * distance)
    assert log['loss'].requires_grad and not log['distance'].requires_grad


def test_network_has_to_return_images():
    with pytest.raises(InputError, match="prediction='velocity'"):
        losses(prediction='velocity')


@pytest.mark.parametrize('settings', [dict(distance_weight=-1.0), dict(distance_max_time=1.5)])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match='distance_weight has to be 0 or more'):
        PixelMeanFlow(**settings)


@pytest.mark.parametrize('noise_scale', [1.0, 4.0])
def test_identity_of_the_mean_velocity_holds_exactly(monkeypatch, noise_scale):
    """For Gaussian data and pairs of image and noise whose line has the marginal velocity at z_t as its slope."""
    mean, std = 0.3, 0.2
    times = torch.rand(32, 2, generator=torch.Generator().manual_seed(1)).double().sort(1, True).values
    times[:, 0] = times[:, 0].clamp(min=0.06)  # below 0.05 the velocities are others
    times[:4, 1] = times[:4, 0]
    t = times[:, 0].view(-1, 1, 1, 1)
    z = torch.randn(32, 1, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    variance = (1 - t) ** 2 * std**2 + (t * noise_scale) ** 2
    v = -mean + (t * noise_scale**2 - (1 - t) * std**2) / variance * (z - (1 - t) * mean)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([(z + (1 - t) * v) / noise_scale]))
    network = dict(type=ScaledVelocity, scale=noise_scale, prediction='x', mean=mean, std=std)
    denoiser = FlowMapDenoiser(network, prediction='x', noise_scale=noise_scale)
    objective = PixelMeanFlow(power=0.0)
    objective.draw = lambda num: torch.cat([times, torch.rand(num, 3).double()], dim=1)
    log = objective(Networks(denoiser), z - t * v, None, 0)
    assert log['error'].max() < 1e-22 and log['slope'].max() > 0.1
