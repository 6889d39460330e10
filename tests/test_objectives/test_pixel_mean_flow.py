import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import FlowMapDenoiser
from mmcm.objectives import Networks, PixelMeanFlow
from mmcm.utils.errors import InputError

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
